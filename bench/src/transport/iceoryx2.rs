//! iceoryx2: publish and subscribe through memory that both sides map. Messages are copied
//! in and out, as with the others; iceoryx2 can also lend its memory. Waiting is by spinning:
//! its sleep is a service of its own, which a sender must call besides. Every receiver gets
//! every message, so that many cannot share the work.
//!
//! Source: the documentation of the crate, 0.10, iceoryx2::port::publisher.

use super::{End, Role, Spec, Transport, Waiting, cannot, new_name, whole, would_block};
use iceoryx2::port::{publisher::Publisher, subscriber::Subscriber};
use iceoryx2::prelude::*;
use std::{error, fs, hint, io, thread};

/// Where its shared memory lies, which killed processes leave behind.
const SHARED_MEMORY: &str = "/dev/shm";

/// Only names: whoever uses the queue makes it.
pub struct Iceoryx2 {
    /// Of the service; without a slash also what all its files begin with.
    name: String,
    spec: Spec,
}

/// The ports that the role needs.
pub struct Ports {
    publisher: Option<Publisher<ipc::Service, [u8], ()>>,
    subscriber: Option<Subscriber<ipc::Service, [u8], ()>>,
    waits: bool,
}

fn failed(error: impl error::Error) -> io::Error {
    io::Error::other(error.to_string())
}

impl Iceoryx2 {
    fn prefix(&self) -> String {
        format!("{}_", self.name.trim_start_matches('/'))
    }

    /// For the files that are not shared memory.
    fn directory(&self) -> String {
        format!("/tmp/{}", self.prefix())
    }
}

impl Transport for Iceoryx2 {
    type End = Ports;

    fn create(spec: &Spec) -> io::Result<Iceoryx2> {
        let is_shared = spec.senders > 1 || spec.receivers > 1;
        if is_shared || spec.levels > 1 || spec.waiting == Waiting::Asleep {
            return Err(cannot());
        }
        set_log_level(LogLevel::Error);
        Ok(Iceoryx2 { name: new_name().to_string_lossy().into_owned(), spec: *spec })
    }

    fn open(&self, role: Role) -> io::Result<Ports> {
        let mut config = Config::default();
        let directory = Path::new(self.directory().as_bytes()).map_err(failed)?;
        config.global.set_root_path(&directory);
        config.global.prefix = FileName::new(self.prefix().as_bytes()).map_err(failed)?;
        let node = NodeBuilder::new().config(&config).create::<ipc::Service>().map_err(failed)?;
        let service = node
            .service_builder(&self.name.as_str().try_into().map_err(failed)?)
            .publish_subscribe::<[u8]>()
            .enable_safe_overflow(false)
            .subscriber_max_buffer_size(self.spec.depth)
            .open_or_create()
            .map_err(failed)?;

        let mut ports =
            Ports { publisher: None, subscriber: None, waits: self.spec.waiting != Waiting::Never };
        if role != Role::Sender {
            ports.subscriber = Some(service.subscriber_builder().create().map_err(failed)?);
        }
        if !matches!(role, Role::Receiver(_)) {
            let publisher = service
                .publisher_builder()
                .initial_max_slice_len(self.spec.size)
                .backpressure_strategy(BackpressureStrategy::RetryUntilDelivered)
                .create()
                .map_err(failed)?;
            ports.publisher = Some(publisher);
        }
        Ok(ports)
    }
}

impl Drop for Iceoryx2 {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.directory());
        for file in fs::read_dir(SHARED_MEMORY).into_iter().flatten().flatten() {
            if file.file_name().to_string_lossy().starts_with(&self.prefix()) {
                let _ = fs::remove_file(file.path());
            }
        }
    }
}

impl End for Ports {
    #[inline]
    fn send(&mut self, message: &[u8], _: u32) -> io::Result<()> {
        let publisher = self.publisher.as_ref().ok_or_else(cannot)?;
        loop {
            let sample = publisher.loan_slice_uninit(message.len()).map_err(failed)?;
            // Until a receiver has connected, nobody gets what does not fit its buffer.
            if sample.write_from_slice(message).send().map_err(failed)? > 0 {
                return Ok(());
            }
            thread::yield_now();
        }
    }

    #[inline]
    fn receive(&mut self, message: &mut [u8]) -> io::Result<()> {
        let subscriber = self.subscriber.as_ref().ok_or_else(cannot)?;
        loop {
            if let Some(sample) = subscriber.receive().map_err(failed)? {
                whole(sample.payload().len(), message.len())?;
                message.copy_from_slice(sample.payload());
                return Ok(());
            }
            if !self.waits {
                return Err(would_block());
            }
            hint::spin_loop();
        }
    }
}
