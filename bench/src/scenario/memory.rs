//! What a queue takes when it is full.

use super::Figures;
use crate::process::Crew;
use crate::transport::{End, Role, Spec, Transport, cannot};
use std::io;

/// The length of its file or mapping, and how much of that is really there.
pub fn memory<T: Transport>(spec: &Spec) -> io::Result<Figures> {
    let queue = T::create(spec)?;
    queue.memory().ok_or_else(cannot)?;
    let mut crew = Crew::new()?;
    crew.start(None, |seat| {
        let mut end = queue.open(Role::Both)?;
        let message = vec![7; spec.size];
        for _ in 0..spec.depth {
            end.send(&message, 0)?;
        }
        let (len, resident) = queue.memory().ok_or_else(cannot)?;
        seat.leave([len as f64, resident as f64]);
        Ok(())
    })?;
    let [len, resident] = crew.finish()?;
    Ok(Figures { resident: Some(resident), ..Figures::typical(len) })
}
