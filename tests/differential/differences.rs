//! What is known to differ between the kernel's queues and ours: the one table.
//!
//! An entry recognises itself in a step, the steps before it, and what the two sides say. Its
//! sentence tells what users find under "What remains different" in docs/dropin.md. From such a
//! step on the script is not followed: the queues are no longer the same.

#![forbid(unsafe_code)]

use crate::script::{PLACES, Step};
use std::collections::HashSet;

pub struct Known {
    pub sentence: &'static str,
    /// Whether the queues are no longer the same although both sides say the same.
    may_hide: bool,
    pub is_it: fn(&Case) -> bool,
}

pub struct Case<'a> {
    pub before: &'a [Step],
    /// What each of these led to, on both sides.
    pub said: &'a [[Vec<String>; 2]],
    pub step: &'a Step,
    pub kernel: &'a [String],
    pub ours: &'a [String],
}

pub const KNOWN: &[Known] = &[
    Known {
        sentence: "A receive into NULL is EFAULT at once, and takes no message; the kernel waits \
                   for one, and loses it.",
        may_hide: true,
        is_it: |case| {
            let is_null = case.step.word(3) == "NULL";
            case.step.verb() == "receive" && is_null && case.says(case.ours, "EFAULT")
        },
    },
    Known {
        sentence: "Access mode 3, neither reading nor writing, is EINVAL also where the queue is \
                   made.",
        may_hide: false,
        is_it: |case| {
            let is_neither = case.step.call.contains(" NEITHER");
            case.step.verb() == "open" && is_neither && case.says(case.ours, "EINVAL")
        },
    },
    Known {
        sentence: "A message whose sender had to wait for room notifies like any other, if it \
                   comes to an empty queue; the kernel does not tell of it.",
        may_hide: false,
        is_it: |case| match case.step.verb() {
            "receive" => case.is_told_more(),
            // The registration was used up here, and is not there.
            "notify" => {
                let is_used_up = case.says(case.kernel, "EBUSY") && case.says(case.ours, "0");
                is_used_up && case.before.iter().any(is_sleeping_send)
            }
            _ => false,
        },
    },
    Known {
        sentence: "A descriptor that outlives an exec, as one made by dup does, is no queue for \
                   the new program: EBADF.",
        may_hide: false,
        is_it: |case| {
            let is_ours_alone = case.says(case.ours, "EBADF") && !case.says(case.kernel, "EBADF");
            is_ours_alone && case.has_outlived_an_exec()
        },
    },
    Known {
        sentence: "A handler that should end the wait (without SA_RESTART, or any in System V's \
                   calls) does not if it begins while the call looks around between two sleeps.",
        may_hide: false,
        is_it: |case| {
            let is_asleep = case.ours.contains(&format!("{} asleep", case.step.actor));
            let is_signal = ["signal", "restart"].contains(&case.step.verb());
            is_signal && is_asleep && case.says(case.kernel, "EINTR")
        },
    },
    Known {
        sentence: "Whoever opens a queue, for reading alone too, must be allowed to write to it: \
                   EACCES.",
        may_hide: false,
        is_it: |case| {
            let is_open = case.step.verb() == "open";
            let is_user = |step: &Step| step.verb() == "become" && !step.call.ends_with(" 0");
            let is_ours_alone = case.says(case.ours, "EACCES") && case.says(case.kernel, "0");
            is_open && is_ours_alone && case.before.iter().any(is_user)
        },
    },
    Known {
        sentence: "That a duplicate is closed which the library has not seen, or by dup2 onto it \
                   of the same queue, does not end the registration for notification.",
        may_hide: false,
        is_it: |case| {
            let is_duplicate = |step: &Step| ["dup", "dup2"].contains(&step.verb());
            case.before.iter().any(is_duplicate) && case.is_told_more()
        },
    },
    Known {
        sentence: "close(2) and dup2 by who is registered end the registration before the next of \
                   this process, or a delivery; until then others get EBUSY.",
        may_hide: false,
        is_it: |case| {
            let is_close = |step: &Step| ["close", "cover", "dup2"].contains(&step.verb());
            let is_busy = case.says(case.ours, "EBUSY") && case.says(case.kernel, "0");
            case.step.verb() == "notify" && is_busy && case.before.iter().any(is_close)
        },
    },
    Known {
        sentence: "poll may see for a moment the message that a receiver takes who is just not \
                   asleep, and the room of such a sender.",
        may_hide: false,
        is_it: |case| {
            let verb = case.step.verb();
            let own = format!("{} ", case.step.actor);
            let is_poll = |line: &&String| {
                let result = line.split(' ').nth(1).unwrap_or_default();
                ["r-", "-w", "rw"].contains(&result) && !line.starts_with(&own)
            };
            let wakes = |lines: &[String]| lines.iter().filter(is_poll).count();
            ["send", "receive"].contains(&verb) && wakes(case.ours) > wakes(case.kernel)
        },
    },
    Known {
        sentence: "The library has descriptors of its own, and a number that the program has \
                   closed may be one of those.",
        may_hide: false,
        is_it: |case| {
            let verbs = ["close", "cover", "dup", "dup2", "flags", "poll", "setfl", "stat"];
            let is_none = case.says(case.kernel, "EBADF") || case.says(case.kernel, "--invalid");
            let is_one = !case.says(case.ours, "EBADF") && !case.says(case.ours, "--invalid");
            verbs.contains(&case.step.verb()) && is_none && is_one
        },
    },
    Known {
        sentence: "System V: a receive into NULL is EFAULT at once, and takes no message; the \
                   kernel looks at the queue first, waits for a message, and loses it.",
        may_hide: true,
        is_it: |case| {
            let is_null = case.step.word(4) == "NULL";
            case.step.verb() == "msgrcv" && is_null && case.says(case.ours, "EFAULT")
        },
    },
    Known {
        sentence: "System V: anybody may raise msg_qbytes above kernel.msgmnb.",
        may_hide: false,
        is_it: |case| {
            let is_too_much = case.step.word(2) == "16385" && case.step.verb() == "msgset";
            is_too_much && case.says(case.kernel, "EPERM") && !case.says(case.ours, "EPERM")
        },
    },
    Known {
        sentence: "System V: msgget(key, 0) of a queue that one may not use is EACCES, and so is \
                   MSG_STAT_ANY.",
        may_hide: false,
        is_it: |case| match case.step.verb() {
            "msgget" => {
                let asks_for_nothing = case.step.last() == "0" || case.step.last() == "0000";
                let is_refused = case.says(case.ours, "EACCES");
                asks_for_nothing && is_refused && case.says(case.kernel, "queue")
            }
            "msgfind" => case.step.last() == "ANY" && case.says(case.ours, "nowhere"),
            _ => false,
        },
    },
    Known {
        sentence: "System V: to make another user or group the owner takes the right to give the \
                   file away.",
        may_hide: false,
        is_it: |case| {
            let is_refused = case.says(case.ours, "EPERM") && case.says(case.kernel, "0");
            is_refused && names_an_owner(case.step)
        },
    },
    Known {
        sentence: "System V: who has made a queue, or is of that group, may lose his rights when \
                   another owns it.",
        may_hide: false,
        is_it: |case| {
            let is_refusal = |word: &&str| ["EACCES", "EPERM", "nowhere"].contains(word);
            let refusals = |lines: &[String]| -> usize {
                lines.iter().map(|line| line.split([' ', ';']).filter(is_refusal).count()).sum()
            };
            let was_given_away = case
                .before
                .iter()
                .zip(case.said)
                .any(|(step, [_, ours])| names_an_owner(step) && says(ours, step.actor, "0"));
            was_given_away && refusals(case.ours) > refusals(case.kernel)
        },
    },
];

/// Whether it sets the owner or the owning group of a queue.
fn names_an_owner(step: &Step) -> bool {
    step.verb() == "msgset" && (step.word(4) != "-" || step.word(5) != "-")
}

fn is_sleeping_send(step: &Step) -> bool {
    step.verb() == "send" && step.may_sleep()
}

pub fn known(case: &Case) -> Option<&'static Known> {
    let is_same = case.kernel == case.ours;
    KNOWN.iter().find(|known| (known.may_hide || !is_same) && (known.is_it)(case))
}

impl Case<'_> {
    /// Whether ours alone notifies.
    fn is_told_more(&self) -> bool {
        let is_told = |lines: &[String]| lines.iter().any(|line| line.contains(" ! signal "));
        is_told(self.ours) && !is_told(self.kernel)
    }

    /// Whether the step's descriptor is older than the program that has it.
    fn has_outlived_an_exec(&self) -> bool {
        // The variables of each actor that were opened before its last exec.
        let mut old: [HashSet<&str>; PLACES] = Default::default();
        for (step, [_, ours]) in self.before.iter().zip(self.said) {
            if !says(ours, step.actor, "0") {
                continue;
            }
            let own = &mut old[step.actor];
            match step.verb() {
                "exec" => own.extend(["v0", "v1", "v2", "v3", "v4", "v5"]),
                "open" => _ = own.remove(step.word(1)),
                "dup" | "dup2" if own.contains(step.word(1)) => _ = own.insert(step.word(2)),
                "dup" | "dup2" => _ = own.remove(step.word(2)),
                "fork" => {
                    let inherited = own.clone();
                    old[step.word(1).parse::<usize>().expect("the number of a place")] = inherited;
                }
                _ => {}
            }
        }
        old[self.step.actor].contains(self.step.word(1))
    }

    /// Whether the step's actor has this result there.
    fn says(&self, lines: &[String], result: &str) -> bool {
        says(lines, self.step.actor, result)
    }
}

fn says(lines: &[String], actor: usize, result: &str) -> bool {
    let wanted = format!("{actor} {result}");
    lines.iter().any(|line| line.starts_with(&wanted))
}
