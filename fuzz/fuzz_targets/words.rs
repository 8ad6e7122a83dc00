//! A queue's words, changed by a second thread while calls use them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mqueue_fuzz::attack::Meanwhile;

fuzz_target!(
    init: mqueue_fuzz::begin_attacks(),
    |choices: &[u8]| mqueue_fuzz::attack(choices, Meanwhile::Scribbler)
);
