//! The kernel's POSIX queues, shared with programs that use them directly.

use crate::ours::{NOWAIT, Queue};
use crate::peer::Peer;
use crate::program::Program;
use crate::world::World;

mod descriptors;
mod messages;
mod names;
mod notification;
mod waiting;

const MAXMSG: u64 = 4;
const MSGSIZE: u64 = 64;

/// A queue of ours and a peer that has it open.
struct Scene {
    world: World,
    ours: Queue,
    theirs: Peer,
}

impl Scene {
    fn new(program: &'static Program) -> Option<Scene> {
        let world = World::new();
        let mut theirs = world.posix_peer(program)?;
        let ours = Queue::create(&world.posix(), MAXMSG, MSGSIZE);
        theirs.must(&format!("open {MAXMSG} {MSGSIZE}"));
        Some(Scene { world, ours, theirs })
    }

    fn fill(&self) {
        for _ in 0..MAXMSG {
            self.ours.send(b"before", 5, NOWAIT).unwrap();
        }
    }
}

/// The scene of a test, or its end if that peer cannot run here.
macro_rules! scene {
    ($program:expr) => {
        match Scene::new($program) {
            Some(scene) => scene,
            None => return,
        }
    };
}
use scene;
