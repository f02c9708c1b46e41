//! Nodes that die, stand still and take over.

use std::cell::Cell;
use std::process::Command;
use std::time::{Duration, Instant};

use redis::Value;

use super::Cluster;

impl Cluster {
    /// Ends the primary of `shard` as a crash would; its port.
    pub fn kill_primary(&self, shard: usize) -> u16 {
        let port = self.primary(shard);
        self.kill(port);
        port
    }

    /// Its replica has all it knows by then.
    pub fn kill(&self, port: u16) {
        self.settle();
        self.silent().insert(port);
        self.server(port).kill();
    }

    /// Starts the node on `port` again after [`Cluster::kill`], and waits until it is part of the cluster.
    pub fn restart(&self, port: u16) {
        self.server(port).restart();
        self.silent().remove(&port);
        self.settle();
    }

    /// The node on `port` stands still: its connections stay open, and nothing is answered.
    pub fn pause(&self, port: u16) {
        self.settle();
        self.silent().insert(port);
        self.signal(port, "-STOP");
    }

    /// After [`Cluster::pause`]. Waits until it has heard of what has changed meanwhile.
    pub fn resume(&self, port: u16) {
        self.signal(port, "-CONT");
        self.silent().remove(&port);
        self.settle();
    }

    /// The replica of `shard` becomes its primary, as an operator asks for it: nothing is lost. The port of the new one.
    pub fn fail_over(&self, shard: usize) -> u16 {
        self.fail_over_by(shard, &[])
    }

    /// The same by `FORCE`, without the primary, or by `TAKEOVER`, without anybody.
    pub fn fail_over_by(&self, shard: usize, how: &[&str]) -> u16 {
        self.settle();
        let replica = self.replica(shard);
        let mut command = vec!["CLUSTER", "FAILOVER"];
        command.extend(how);
        let said: String = self.command(replica, &command);
        assert_eq!(said, "OK");
        let said = Cell::new(Instant::now());
        self.until("the replica does not take over", || {
            // Redis gives up one that takes more than five seconds.
            if said.get().elapsed() > Duration::from_secs(6) {
                said.set(Instant::now());
                // It may be the primary by now.
                let _ = self.try_command::<String>(replica, &command);
            }
            let mut asked = self.speaking().into_iter();
            asked.all(|asked| self.primary_by(asked, shard) == Some(replica))
        });
        self.settle();
        replica
    }

    /// Waits until every node that can be asked tells of a replica of each range of slots.
    pub fn await_replicas(&self) {
        self.hurry("nobody tells of the replicas", || {
            self.speaking().into_iter().all(|port| {
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
