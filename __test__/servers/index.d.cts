/** The options that every server is started with; see cluster.cjs. */
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
  /** The Unix socket for the tests' own commands. */
  readonly socket: string;
  /** Sends one command of the tests; a Redis error is an Error. */
  send(...command: (string | number)[]): Promise<unknown>;
}

/** A server over TLS with users, or a cluster. */
export interface Servers {
  /** The primaries first. */
  readonly ports: number[];
  readonly nodes: Node[];
  /** The port of a seed node. */
  readonly seed: number;
  /** The credentials of the tests themselves. */
  readonly admin: { username?: string; password?: string };
  stop(): Promise<void>;
}

export interface ClusterServers extends Servers {
  /** The port of a shard's primary. */
  primary(shard: number): Promise<number>;
  /** Stops a node by SIGSTOP, and resumes it. */
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
/** The file of the CA that signed the servers' certificate. */
export declare const caFile: string;
