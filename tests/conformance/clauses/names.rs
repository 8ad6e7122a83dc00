//! Addresses and names.

use super::{Clause, clauses};
use crate::subject::Subject;
use libc::{O_CREAT, O_EXCL, O_RDWR};

pub const CLAUSES: &[Clause] = clauses![All:
    names_that_break_the_rules_are_refused,
    a_name_has_up_to_255_bytes_after_its_slash,
    names_have_any_bytes_but_slashes,
    names_that_look_like_directories_are_none,
    the_name_of_a_handle_is_the_full_address,
    an_unknown_prefix_is_invalid,
    a_transport_that_is_not_there_is_not_supported,
];

fn names_that_break_the_rules_are_refused(s: &Subject) {
    for (rest, errno) in [
        ("", libc::EINVAL),
        ("name", libc::EINVAL),
        ("name/", libc::EINVAL),
        ("/", libc::ENOENT),
        ("//", libc::EACCES),
        ("//name", libc::EACCES),
        ("/name/", libc::EACCES),
        ("/a/b", libc::EACCES),
        ("/.", libc::EACCES),
        ("/..", libc::EACCES),
    ] {
        let address = s.address_of(rest);

        s.fails(errno, s.open(&address, O_RDWR));
        s.fails(errno, s.open(&address, O_CREAT | O_RDWR));
        s.fails(errno, s.language.unlink(&address));
    }
}

fn a_name_has_up_to_255_bytes_after_its_slash(s: &Subject) {
    for length in [250, 251, 255] {
        let address = s.address_of(&format!("/{}", "n".repeat(length)));

        let queue = s.another(&address, O_CREAT | O_EXCL | O_RDWR);
        queue.put("there", 0);

        assert_eq!(queue.name(), address);
        assert_eq!(s.another(&address, O_RDWR).take().0, b"there");
        assert_eq!(s.language.unlink(&address), Ok(()));
    }
    for length in [256, 5000] {
        let address = s.address_of(&format!("/{}", "n".repeat(length)));

        s.fails(libc::ENAMETOOLONG, s.open(&address, O_CREAT | O_RDWR));
        s.fails(libc::ENAMETOOLONG, s.language.unlink(&address));
    }
}

fn names_have_any_bytes_but_slashes(s: &Subject) {
    for name in ["a b", "tab\tnewline\n", "größe", "*?[", "a:b", "\\", "\u{1}", "%s%n"] {
        let address = s.address_of(&format!("/{name}"));

        let queue = s.another(&address, O_CREAT | O_EXCL | O_RDWR);

        assert_eq!(queue.name(), address);
        s.fails(libc::EEXIST, s.open(&address, O_CREAT | O_EXCL | O_RDWR));
        assert_eq!(s.language.unlink(&address), Ok(()));
    }
}

fn names_that_look_like_directories_are_none(s: &Subject) {
    for name in ["...", ".a", "..a", "a.", "-"] {
        let address = s.address_of(&format!("/{name}"));

        drop(s.another(&address, O_CREAT | O_EXCL | O_RDWR));

        assert_eq!(s.language.unlink(&address), Ok(()));
    }
}

fn the_name_of_a_handle_is_the_full_address(s: &Subject) {
    let (address, queue) = s.create(4, 16);

    let opened = s.another(&queue.name(), O_RDWR);

    assert_eq!(queue.name(), address);
    assert_eq!(opened.name(), address);
}

fn an_unknown_prefix_is_invalid(s: &Subject) {
    for address in [c"queue:/name", c"POSIX:/name", c"amqp:/name", c"name", c":/name"] {
        s.fails(libc::EINVAL, s.open(address, O_CREAT | O_RDWR));
        s.fails(libc::EINVAL, s.language.unlink(address));
    }
}

fn a_transport_that_is_not_there_is_not_supported(s: &Subject) {
    s.fails(libc::ENOTSUP, s.open(c"amqp://host/queue", O_CREAT | O_RDWR));
    s.fails(libc::ENOTSUP, s.language.unlink(c"amqp://host/queue"));
}
