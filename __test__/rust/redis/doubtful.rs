//! A name that leads to several servers, of which some say nothing: the others are asked first from then on.

use std::net::SocketAddr;

use huntaze_rate_limit::store::redis::doubtful::AddressHealth;

fn at(ports: &[u16]) -> Vec<SocketAddr> {
    let address = |&port| ([127, 0, 0, 1], port).into();
    ports.iter().map(address).collect()
}

#[test]
fn who_has_disappointed_is_asked_last() {
    let (doubtful, all) = (AddressHealth::default(), at(&[1, 2, 3]));
    assert_eq!(doubtful.bad_last(all.clone()), all);
    doubtful.mark_bad(all[0]);
    assert_eq!(doubtful.bad_last(all.clone()), at(&[2, 3, 1]));
    // In whatever order the name has them.
    assert_eq!(doubtful.bad_last(at(&[3, 1, 2])), at(&[3, 2, 1]));
    // Two of them hang, and take turns behind the third.
    doubtful.mark_bad(all[1]);
    assert_eq!(doubtful.bad_last(all.clone()), at(&[3, 1, 2]));
    doubtful.mark_bad(all[0]);
    assert_eq!(doubtful.bad_last(all.clone()), at(&[3, 2, 1]));
    doubtful.mark_bad(all[2]);
    assert_eq!(doubtful.bad_last(all.clone()), at(&[2, 1, 3]));
    doubtful.mark_good(all[1]);
    doubtful.mark_good(all[2]);
    assert_eq!(doubtful.bad_last(all.clone()), at(&[2, 3, 1]));
}

#[test]
fn what_a_name_leads_to_no_more_is_forgotten() {
    let doubtful = AddressHealth::default();
    doubtful.mark_bad(at(&[1])[0]);
    assert_eq!(doubtful.bad_last(at(&[2])), at(&[2]));
    assert_eq!(doubtful.bad_last(at(&[1, 2])), at(&[1, 2]));
}
