//! A queue's file: damaged, opened, used, by choices that the input makes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mqueue_fuzz::attack::Meanwhile;

fuzz_target!(
    init: mqueue_fuzz::begin_attacks(),
    |choices: &[u8]| mqueue_fuzz::attack(choices, Meanwhile::Nobody)
);
