//! Nodes that are killed, paused and promoted.

use std::cell::Cell;
use std::process::Command;
use std::time::{Duration, Instant};

use redis::Value;

use super::Cluster;

impl Cluster {
    /// Kills the primary of `shard`, as a crash would. Returns its port.
    pub fn kill_primary(&self, shard: usize) -> u16 {
        let port = self.primary(shard);
        self.kill(port);
        port
    }

    /// Kills the node, whose replica is in sync by then.
    pub fn kill(&self, port: u16) {
        self.settle();
        self.unavailable().insert(port);
        self.server(port).kill();
    }

    /// Starts the node on `port` again after [`Cluster::kill`], and waits until it has joined the cluster.
    pub fn restart(&self, port: u16) {
        self.server(port).restart();
        self.unavailable().remove(&port);
        self.settle();
    }

    /// Pauses the node on `port`: its connections stay open, and it does not answer.
    pub fn pause(&self, port: u16) {
        self.settle();
        self.unavailable().insert(port);
        self.signal(port, "-STOP");
    }

    /// Resumes the node after [`Cluster::pause`], and waits until it has heard of the changes meanwhile.
    pub fn resume(&self, port: u16) {
        self.signal(port, "-CONT");
        self.unavailable().remove(&port);
        self.settle();
    }

    /// Promotes the replica of `shard`, as an operator does: nothing is lost. Returns the port of the new primary.
    pub fn fail_over(&self, shard: usize) -> u16 {
        self.fail_over_by(shard, &[])
    }

    /// The same by `FORCE`, without the primary's help, or by `TAKEOVER`, without that of any node.
    pub fn fail_over_by(&self, shard: usize, how: &[&str]) -> u16 {
        self.settle();
        let replica = self.replica(shard);
        let mut command = vec!["CLUSTER", "FAILOVER"];
        command.extend(how);
        let reply: String = self.command(replica, &command);
        assert_eq!(reply, "OK");
        let sent = Cell::new(Instant::now());
        self.until("the replica does not take over", || {
            // Redis aborts a failover that takes more than five seconds.
            if sent.get().elapsed() > Duration::from_secs(6) {
                sent.set(Instant::now());
                // The replica may be the primary by now.
                let _ = self.try_command::<String>(replica, &command);
            }
            let mut live = self.live().into_iter();
            live.all(|port| self.primary_by(port, shard) == Some(replica))
        });
        self.settle();
        replica
    }

    /// Waits until every live node lists a replica of each range of slots.
    pub fn await_replicas(&self) {
        self.until_gossiped("a node does not list the replicas", || {
            self.live().into_iter().all(|port| {
                let rows = self.try_command::<Vec<Vec<Value>>>(port, &["CLUSTER", "SLOTS"]);
                // The first slot, the last, the primary, and its replicas.
                rows.is_ok_and(|rows| rows.iter().all(|row| row.len() > 3))
            })
        });
    }

    fn server(&self, port: u16) -> &crate::server::Server {
        &self.servers[self.index(port)]
    }

    fn signal(&self, port: u16, signal: &str) {
        let pid = &self.pids[self.index(port)];
        // The shell's own: the program of that name is not on every machine.
        let mut kill = Command::new("sh");
        kill.args(["-c", r#"kill "$1" "$2""#, "sh", signal, pid]);
        let status = kill.status().unwrap();
        assert!(status.success(), "kill {signal} {pid}");
    }
}
