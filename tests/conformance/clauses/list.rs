//! The list of the queues that there are.

use super::{Clause, clauses};
use crate::process::{as_user, need_root};
use crate::subject::{NOBODY, Subject};
use crate::world::need_mount;
use libc::O_RDWR;
use mqueue_core::attr::{Attr, transport};
use std::ffi::CStr;

pub const CLAUSES: &[Clause] = clauses![All:
    each_queue_is_listed_once_with_its_attributes,
    a_list_of_all_transports_has_it_too,
    a_queue_that_was_unlinked_is_not_listed,
    a_queue_that_may_not_be_read_is_listed_by_its_name,
    a_listed_address_opens_the_queue,
    what_is_no_transport_has_no_list,
];

/// What the list of a transport says of an address.
fn entries(s: &Subject, number: u32, address: &CStr) -> Vec<Attr> {
    need_mount(s.transport);
    let list = s.language.list(number).expect("a list");
    list.into_iter().filter(|(name, _)| name.as_c_str() == address).map(|(_, attr)| attr).collect()
}

fn each_queue_is_listed_once_with_its_attributes(s: &Subject) {
    let (first, queue) = s.create(4, 16);
    let (second, _other) = s.create(2, 32);
    queue.put("one", 0);
    queue.put("two", 0);

    let [attr] = entries(s, s.transport.number(), &first)[..] else { panic!("not once") };

    // The flags are those of the handle by which the list looked.
    assert_eq!(Attr { flags: 0, ..attr }, Attr { flags: 0, ..queue.attr().expect("attributes") });
    assert_eq!(entries(s, s.transport.number(), &second).len(), 1);
}

fn a_list_of_all_transports_has_it_too(s: &Subject) {
    let (address, _queue) = s.create(4, 16);

    let [attr] = entries(s, transport::ANY, &address)[..] else { panic!("not once") };

    assert_eq!(attr.transport, s.transport.number());
}

fn a_queue_that_was_unlinked_is_not_listed(s: &Subject) {
    let (address, _queue) = s.create(4, 16);

    s.language.unlink(&address).expect("a name");

    assert!(entries(s, s.transport.number(), &address).is_empty());
}

fn a_queue_that_may_not_be_read_is_listed_by_its_name(s: &Subject) {
    need_root();
    need_mount(s.transport);
    let (address, _queue) = s.create(4, 16);

    as_user(NOBODY, || {
        let found = entries(s, s.transport.number(), &address);

        let nothing = Attr { transport: s.transport.number(), ..Attr::default() };
        assert_eq!(found, [nothing]);
    })
    .join();
}

fn a_listed_address_opens_the_queue(s: &Subject) {
    let (_, queue) = s.create(4, 16);
    queue.put("found", 0);

    need_mount(s.transport);
    let list = s.language.list(s.transport.number()).expect("a list");

    let is_it = |(name, _): &&(std::ffi::CString, Attr)| *name == queue.name();
    let (address, _) = list.iter().find(is_it).expect("listed");
    assert_eq!(s.another(address, O_RDWR).take().0, b"found");
}

fn what_is_no_transport_has_no_list(s: &Subject) {
    s.fails(libc::EINVAL, s.language.list(5));
    s.fails(libc::EINVAL, s.language.list(u32::MAX));
    s.fails(libc::ENOTSUP, s.language.list(transport::AMQP));
}
