//! Keeps the server from ending a connection for the age of its login.

use std::sync::{Arc, Weak};

use tokio::time::sleep;

use super::background::{attend, connect};
use super::{Core, Held};
use crate::store::redis::driver::Driver;
use crate::store::redis::login::{Login, Moment};

/// Renews the login of the connection that `driver` drives whenever it is due; where that fails until it is over, makes
/// another connection, and only then lets go of this one. Ends with the connection, or when it is not in use any more.
pub(super) async fn keep_logged_in(core: Weak<Core>, driver: Arc<Driver>, login: Arc<Login>) {
    loop {
        sleep(login.next_look(Moment::now())).await;
        if !login.is_due(Moment::now()) {
            continue;
        }
        // Held no longer than it takes to look: the connection ends with its store, not with this task.
        let Some((held, place)) = core
            .upgrade()
            .map(|core| (core.held(&driver), Arc::clone(&core.place)))
        else {
            return;
        };
        match held {
            Held::Gone => return,
            Held::InDoubt => login.failed(),
            Held::InUse(live) if !login.is_over(Moment::now()) => {
                // Where it fails there is a next time, and the connection is as good as before.
                let _ = place.log_in_again(&live).await;
            }
            Held::InUse(_) => match connect(&core, &place).await {
                Err(_) => login.failed(),
                Ok(live) => {
                    let Some(core) = core.upgrade() else { return };
                    if core.replace(&driver, &live) {
                        return attend(&core, &live);
                    }
                    login.failed();
                }
            },
        }
    }
}
