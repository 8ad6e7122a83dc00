//! What a victim does when it is struck, which steps that takes it past, and how it is struck.

use crate::processes::work::Shape;
use Role::*;
use mqueue_core::fault::Step;

/// What the victim does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    LaneSender,
    MixedSender,
    LaneReceiver,
    MixedReceiver,
    /// Takes the lowest priority, past the finder.
    Taker,
    /// Sends behind one that was killed between its send and the change of its slot.
    LaneHeir,
    MixedHeir,
    /// Receives after one that was killed with the finder's lock.
    FinderHeir,
    /// Receives beside one that is stopped with the finder's lock.
    Bystander,
    /// Receives, having been stopped in the finder while others took what it had found.
    Sluggard,
    /// Receives, having been stopped with its stamp on a message while another received.
    LaneOutrun,
    MixedOutrun,
    TakerOutrun,
    /// Sends where the dead hold every free slot.
    Reclaimer,
    /// Attaches with the owner number of one that was killed with every slot.
    Successor,
    /// Sends through a handle inherited by fork.
    Inheritor,
    /// Sends several messages in a call.
    LaneBatchSender,
    MixedBatchSender,
    /// Receives several messages in a call.
    LaneBatchReceiver,
    /// Sends by reserve and commit.
    LaneCommitter,
    MixedCommitter,
    /// Receives by acquire, and gives back by release or requeue.
    LaneAcquirer,
    MixedAcquirer,
    /// The same where what a dead one has acquired is sent again.
    Worker,
    /// Sends again what a dead one had acquired.
    Heir,
    /// The same, but others have filled the queue meanwhile.
    HeirRefused,
    Attacher,
    Creator,
    /// Closes an ephemeral queue as its last user.
    LastUser,
    /// Opens an ephemeral queue that the dead have left.
    LateComer,
    /// Removes the name of an ephemeral queue that another has open.
    Unlinker,
    /// Registers for notification, and drops the registration.
    Registrant,
    /// Sends to an empty queue with a registration.
    Notifier,
    /// Drops messages of a full queue.
    Dropper,
    /// Shuts the queue down.
    Shutter,
    /// The same with one that stays.
    StayingNotifier,
    /// The same where a receiver sleeps, who is to be woken instead.
    Caller,
    /// Sends to an empty queue for which another waits among several.
    Waker,
    /// Waits for the queue among several.
    Poller,
    /// Sends to a queue with a beacon, and receives from one.
    BeaconSender,
    BeaconReceiver,
    /// Makes a queue's beacon.
    BeaconMaker,
    /// Removes the name of a queue with a beacon.
    BeaconUnlinker,
}

/// Which roles must reach a step.
pub fn roles(step: Step) -> &'static [Role] {
    const SENDERS: &[Role] = &[
        LaneSender,
        MixedSender,
        LaneBatchSender,
        MixedBatchSender,
        Inheritor,
        Notifier,
        StayingNotifier,
    ];
    const RECEIVERS: &[Role] = &[LaneReceiver, MixedReceiver, LaneBatchReceiver];
    const COMMITTERS: &[Role] = &[LaneCommitter, MixedCommitter];
    const ACQUIRERS: &[Role] = &[LaneAcquirer, MixedAcquirer, Worker];
    const LENT: &[Role] = &[LaneCommitter, MixedCommitter, LaneAcquirer, MixedAcquirer, Worker];
    const TAKERS: &[Role] = &[LaneReceiver, MixedReceiver, Taker, LaneBatchReceiver];
    match step {
        Step::SendClaimed | Step::SendCopied => SENDERS,
        Step::SendPublished | Step::SendConfirmed | Step::SendHinted => SENDERS,
        Step::SendIndexed => SENDERS,
        Step::SendUnwoken => &[LaneSender, MixedSender, Inheritor],
        Step::SendHelped => &[LaneHeir, MixedHeir],
        Step::SendLinearized => &[MixedSender],
        Step::ReceiveBegun => RECEIVERS,
        Step::ReceiveSnapped => &[MixedReceiver, Taker],
        Step::ReceiveChosen => &[LaneReceiver, MixedReceiver, Taker, Bystander],
        Step::ReceiveStamped | Step::ReceivePublished => TAKERS,
        Step::ReceiveFinalized | Step::ReceiveCopied | Step::ReceiveUnwoken => TAKERS,
        Step::ReceiveLost => &[LaneOutrun, MixedOutrun, TakerOutrun],
        Step::LaneUnsettled | Step::LaneHalfway => &[MixedReceiver],
        Step::FinderStealing => &[FinderHeir],
        Step::FinderWanted | Step::FinderLocked | Step::FinderDrained => &[MixedReceiver],
        Step::FinderHalfway | Step::FinderStale | Step::FinderPopped => &[MixedReceiver],
        Step::FinderRebuilding => &[FinderHeir],
        Step::FinderDropped => &[Sluggard],
        Step::LoanPermitted | Step::LoanFreed | Step::LoanSent => LENT,
        Step::ReserveClaimed | Step::CommitBegun | Step::CommitStamped => COMMITTERS,
        Step::AcquireTaken => ACQUIRERS,
        Step::ReturnStamped => &[LaneAcquirer, MixedAcquirer, Worker, Heir],
        Step::ReturnRefused => &[LaneAcquirer, MixedAcquirer, Worker, HeirRefused],
        Step::TakeMixed => &[Taker],
        Step::DropCounted => &[Dropper],
        Step::ShutUnwoken => &[Shutter],
        Step::WaitAnnounced | Step::WaitWoken => {
            &[LaneSender, MixedSender, LaneReceiver, MixedReceiver]
        }
        Step::PollAnnounced | Step::PollWoken => &[Poller],
        Step::WakeUnmarked | Step::WakeUntouched => &[Waker],
        Step::BeaconLocked | Step::BeaconLooked | Step::BeaconChanged => {
            &[BeaconSender, BeaconReceiver]
        }
        Step::BeaconUnnamed | Step::BeaconNamed | Step::BeaconRecorded => &[BeaconMaker],
        Step::UnlinkHalfway => &[BeaconUnlinker],
        Step::ReclaimFound => &[Reclaimer, Successor],
        Step::ReclaimSwept => &[Successor],
        Step::NotifyRegistered | Step::NotifyDisarmed => &[Registrant],
        Step::NotifyCalled => &[Caller],
        Step::NotifyFired | Step::NotifyUnwoken => &[Notifier, StayingNotifier],
        Step::AttachLocked => &[Attacher, Inheritor, Successor],
        Step::CreateUnnamed | Step::CreateNamed => &[Creator],
        Step::EndLocked | Step::EndMarked => &[LastUser, LateComer],
        Step::EndLooked | Step::EndAside | Step::EndAlone => &[LastUser, LateComer, Unlinker],
        // Of queues of typed messages, which `tests/typed` kills at all of its steps.
        Step::TypedCharged | Step::TypedDischarged | Step::TypedGrown => &[],
        Step::TypedKeyed | Step::TypedRemoved | Step::TypedUnnamed => &[],
    }
}

impl Role {
    /// The priorities of the messages around it.
    pub fn shape(self) -> Shape {
        match self {
            LaneSender | LaneHeir | LaneReceiver | LaneOutrun | LaneCommitter | LaneAcquirer
            | LaneBatchSender | LaneBatchReceiver => Shape::Lane,
            _ => Shape::Four,
        }
    }

    pub fn receives(self) -> bool {
        matches!(
            self,
            LaneReceiver
                | MixedReceiver
                | Taker
                | FinderHeir
                | Bystander
                | Sluggard
                | LaneOutrun
                | MixedOutrun
                | TakerOutrun
                | LaneBatchReceiver
        ) || self.acquires()
    }

    pub fn acquires(self) -> bool {
        matches!(self, LaneAcquirer | MixedAcquirer | Worker)
    }

    pub fn is_in_batches(self) -> bool {
        matches!(self, LaneBatchSender | MixedBatchSender | LaneBatchReceiver)
    }

    pub fn commits(self) -> bool {
        matches!(self, LaneCommitter | MixedCommitter)
    }

    /// Whether the queue sends again what the dead had acquired.
    pub fn redelivers(self) -> bool {
        matches!(self, Worker | Heir | HeirRefused)
    }

    /// Whether messages may come again.
    pub fn may_return(self) -> bool {
        self.acquires() || self.redelivers()
    }

    /// Where it is stopped once before, while another receives, and when it gets there.
    pub fn stops_before(self) -> Option<(Step, u64)> {
        match self {
            Sluggard => Some((Step::FinderDrained, 2)),
            LaneOutrun | MixedOutrun | TakerOutrun => Some((Step::ReceiveStamped, 1)),
            HeirRefused => Some((Step::ReturnStamped, 1)),
            _ => None,
        }
    }

    /// Whether it makes or ends a queue, and no more.
    pub fn soon_ends(self) -> bool {
        matches!(self, Creator | LastUser | LateComer | Unlinker)
    }

    /// Whether the others begin only when the signal has struck.
    pub fn is_alone(self) -> bool {
        matches!(
            self,
            LaneHeir
                | MixedHeir
                | FinderHeir
                | Bystander
                | Sluggard
                | LaneOutrun
                | MixedOutrun
                | TakerOutrun
                | Reclaimer
                | Successor
                | Heir
                | HeirRefused
                | Inheritor
                | Creator
                | LastUser
                | LateComer
                | Unlinker
                | Notifier
                | StayingNotifier
                | Caller
                | Waker
        )
    }
}

/// What happens to the victim.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Blow {
    Kill,
    /// Stopped, later continued.
    Stop,
    /// Stopped, later continued and killed at the next step whichever.
    StopThenKill,
}
