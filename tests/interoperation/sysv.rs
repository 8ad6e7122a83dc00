//! System V queues, shared with programs that use them directly.
//!
//! Our priorities are types there: type = 32768 - priority.

use crate::ours::{NOWAIT, Queue};
use crate::peer::Peer;
use crate::program::Program;
use crate::world::World;

mod addresses;
mod messages;
mod selection;
mod state;
mod users;
mod waiting;

/// The lowest priority's type.
const LOWEST: i64 = 32768;

fn type_of(priority: u32) -> i64 {
    LOWEST - i64::from(priority)
}

/// A queue of ours and a peer that has it open.
struct Scene {
    world: World,
    ours: Queue,
    theirs: Peer,
}

impl Scene {
    fn new(program: &'static Program) -> Option<Scene> {
        let world = World::new();
        let mut theirs = world.sysv_peer(program)?;
        let ours = Queue::create(&world.sysv(), 0, 0);
        theirs.must("open");
        Some(Scene { world, ours, theirs })
    }

    /// A queue with room for four messages of 16 bytes, and those in it.
    fn full(program: &'static Program) -> Option<Scene> {
        let mut scene = Scene::new(program)?;
        scene.ours.set_most_bytes(4 * 16);
        // Some look at the size when they open the queue.
        scene.theirs.must("open");
        for _ in 0..4 {
            scene.ours.send(&[b'b'; 16], 5, NOWAIT).unwrap();
        }
        Some(scene)
    }
}

/// The scene of a test, or its end if that peer cannot run here.
macro_rules! scene {
    ($scene:expr) => {
        match $scene {
            Some(scene) => scene,
            None => return,
        }
    };
}
use scene;
