/** What redis-server is started with, whatever it is; see cluster.cjs. */
export interface ServerOptions {
  tls?: boolean;
  username?: string;
  password?: string;
  hostNames?: string | string[];
  nodeTimeoutMs?: number;
  options?: string[];
}

export interface Node {
  readonly port: number;
  /** Where the tests ask it. */
  readonly socket: string;
  /** One command of the tests' own; an error of Redis is an Error. */
  send(...command: (string | number)[]): Promise<unknown>;
}

/** A server over TLS with users, or a cluster. */
export interface Servers {
  /** The primaries first. */
  readonly ports: number[];
  readonly nodes: Node[];
  /** The port of a node to begin with. */
  readonly seed: number;
  /** Who the tests are there. */
  readonly admin: { username?: string; password?: string };
  stop(): Promise<void>;
}

export interface ClusterServers extends Servers {
  /** The port of a shard's primary. */
  primary(shard: number): Promise<number>;
  /** Stops a node as SIGSTOP does, and lets it go on. */
  freeze(port: number): void;
  thaw(port: number): void;
}

export declare const Cluster: { start(options: ServerOptions): Promise<ClusterServers> };
export declare const Single: { start(options: ServerOptions): Promise<Servers> };
/** The hash slot of a key. */
export declare function slotOf(key: string): number;
export declare const SLOTS: number;
/** Primaries of a cluster. */
export declare const SHARDS: number;
/** The file of the authority that signed the servers' certificate. */
export declare const caFile: string;
