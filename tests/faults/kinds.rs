//! What the library calls of the system, each call by what it is for, and what its manual page
//! says that it can fail with.

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident: $($errno:ident)*;)*) => {
        /// What a call is for.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        #[repr(u32)]
        pub enum Kind { $($(#[$doc])* $name,)* }

        impl Kind {
            pub const ALL: &'static [Kind] = &[$(Kind::$name,)*];

            /// What its manual page says that it can fail with here: those errors that are
            /// not of an argument which the library never gives.
            pub fn errnos(self) -> &'static [i32] {
                match self { $(Kind::$name => &[$(libc::$errno,)*],)* }
            }
        }
    };
}

kinds! {
    /// openat of the queues' directory, O_PATH.
    OpenDirectory: EACCES EINTR ELOOP EMFILE ENFILE ENOENT ENOMEM ENOTDIR;
    /// openat of a queue's file.
    OpenQueue: EACCES EINTR EIO EISDIR ELOOP EMFILE ENFILE ENODEV ENOENT ENOMEM ENXIO EOVERFLOW
        EPERM EROFS;
    /// openat with O_TMPFILE.
    OpenUnnamed: EACCES EDQUOT EINTR EINVAL EISDIR EMFILE ENFILE ENOENT ENOMEM ENOSPC EOPNOTSUPP
        EPERM EROFS;
    /// openat of a new file with a random name.
    OpenTemporary: EACCES EDQUOT EEXIST EINTR EMFILE ENFILE ENOENT ENOMEM ENOSPC EPERM EROFS;
    /// openat of /proc/self/fd/N.
    OpenProc: EACCES EINTR EMFILE ENFILE ENOENT ENOMEM ENOTDIR;
    /// openat of a record of a name, to read it.
    OpenRecord: EACCES EINTR EIO ELOOP EMFILE ENFILE ENOENT ENOMEM ENXIO EPERM;
    /// openat of a directory, to list it.
    OpenToList: EACCES EINTR EMFILE ENFILE ENOENT ENOMEM ENOTDIR;
    /// openat of a file that says what the kernel allows.
    OpenLimit: EACCES EINTR EMFILE ENOENT;
    /// openat of the root, to see whether there is another descriptor.
    OpenAny: EINTR EMFILE ENOMEM;
    /// getdents64.
    ReadDirectory: EIO ENOENT ENOTDIR;
    /// access of /proc/self/fd.
    LookAtProc: EACCES ENOENT ENOTDIR;
    /// fstat.
    Status: EBADF ENOMEM;
    /// fstatat of a name that is to be new.
    LookForName: EACCES ELOOP ENOENT ENOMEM ENOTDIR;
    /// pread.
    Read: EINTR EIO;
    /// pwrite of a record of a name.
    WriteRecord: EDQUOT EFBIG EINTR EIO ENOSPC EPERM;
    /// posix_fallocate.
    Reserve: EDQUOT EFBIG EINTR EINVAL EIO ENODEV ENOMEM ENOSPC EOPNOTSUPP;
    /// fchmod.
    ChangeMode: EIO EPERM EROFS;
    /// fchown.
    ChangeOwner: EDQUOT EIO EPERM EROFS;
    /// fcntl, F_DUPFD_CLOEXEC.
    Duplicate: EMFILE;
    /// dup3.
    Replace: EBADF EBUSY EINTR EMFILE ENOMEM;
    /// fcntl, F_GETFL.
    Flags: EBADF;
    /// fcntl, F_SETFD.
    SetFlags: EBADF;
    /// fcntl, F_OFD_SETLK with F_WRLCK.
    Lock: EACCES EAGAIN EBADF EINVAL ENOLCK ENOMEM;
    /// fcntl, F_OFD_SETLK with F_RDLCK.
    ReadLock: EACCES EAGAIN EBADF ENOLCK ENOMEM;
    /// fcntl, F_OFD_SETLK with F_UNLCK.
    Unlock: EBADF ENOLCK ENOMEM;
    /// fcntl, F_OFD_GETLK.
    AskLock: EBADF EINVAL ENOLCK ENOMEM;
    /// flock, LOCK_SH and LOCK_EX.
    LockFile: EINTR ENOLCK;
    /// flock, LOCK_UN.
    UnlockFile: EINTR ENOLCK;
    /// linkat of /proc/self/fd/N.
    LinkUnnamed: EACCES EDQUOT EEXIST EIO EMLINK ENOENT ENOMEM ENOSPC EPERM EROFS EXDEV;
    /// linkat of a name.
    Link: EACCES EDQUOT EEXIST EIO EMLINK ENOENT ENOMEM ENOSPC EPERM EROFS;
    /// renameat2 with RENAME_NOREPLACE.
    RenameNew: EACCES EBUSY EEXIST EINVAL EIO ENOENT ENOMEM ENOSPC ENOSYS EPERM EROFS;
    /// unlinkat.
    UnlinkTemporary: EACCES EBUSY EIO ENOENT ENOMEM EPERM EROFS;
    /// unlink.
    Unlink: EACCES EBUSY EIO EISDIR ELOOP ENAMETOOLONG ENOENT ENOMEM ENOTDIR EPERM EROFS;
    /// getrlimit; it is of files unless a queue's bytes are too many.
    FileLimit: EINVAL;
    /// mmap of a file.
    MapFile: EACCES EAGAIN ENFILE ENODEV ENOMEM EOVERFLOW EPERM;
    /// mmap of memory.
    MapMemory: EAGAIN ENOMEM EPERM;
    /// madvise, MADV_DONTFORK.
    DontFork: EAGAIN EINVAL ENOMEM;
    /// madvise, MADV_WIPEONFORK.
    WipeOnFork: EAGAIN EINVAL ENOMEM;
    /// madvise, MADV_DONTDUMP of a segment.
    DontDump: EAGAIN EINVAL ENOMEM;
    /// munmap.
    Unmap: ENOMEM;
    /// futex_waitv.
    WaitAny: EAGAIN EINTR EINVAL ENOMEM ENOSYS EPERM ETIMEDOUT;
    /// futex, FUTEX_WAIT_BITSET and FUTEX_WAIT.
    Wait: EAGAIN EINTR ETIMEDOUT;
    /// futex, FUTEX_WAKE on a word of a queue, where a foreign process may make any state.
    Wake: EFAULT EINVAL;
    /// openat of the table of mounts.
    OpenMounts: EACCES EINTR EMFILE ENFILE ENOENT ENOMEM;
    /// fstatfs.
    FileSystem: EIO ENOMEM ENOSYS;
    /// ppoll.
    Poll: EINTR ENOMEM;
    /// inotify_init1.
    MakeWatcher: EMFILE ENFILE ENOMEM;
    /// inotify_add_watch.
    Watch: EACCES ENOENT ENOMEM ENOSPC;
    /// mq_open of a queue that is there.
    FindPosix: EACCES EINTR EMFILE ENFILE ENOENT ENOMEM ENOSYS;
    /// mq_open, O_CREAT.
    MakePosix: EACCES EEXIST EINTR EINVAL EMFILE ENFILE ENOMEM ENOSPC ENOSYS EOVERFLOW;
    /// mq_unlink.
    UnlinkPosix: EACCES ENOENT ENOMEM ENOSYS EPERM;
    /// mq_getsetattr.
    LookAtPosix: EBADF;
    /// mq_timedsend; EAGAIN where the description has O_NONBLOCK.
    SendPosix: EAGAIN EBADF EINTR EMSGSIZE ENOMEM ETIMEDOUT;
    /// mq_timedreceive.
    ReceivePosix: EAGAIN EBADF EINTR EMSGSIZE ETIMEDOUT;
    /// mq_notify with something to do.
    NotifyPosix: EBADF EBUSY ENOMEM;
    /// mq_notify without.
    ForgetPosix: EBADF;
    /// socket.
    Socket: EACCES EAFNOSUPPORT EMFILE ENFILE ENOBUFS ENOMEM EPROTONOSUPPORT;
    /// setsockopt, SO_RCVBUF.
    MakeRoom: ENOMEM;
    /// getsockopt, SO_RCVBUF.
    AskRoom: ENOMEM;
    /// recvfrom of the netlink socket.
    TakeCookie: EAGAIN EINTR ENOBUFS ENOMEM;
    /// eventfd.
    MakeBell: EMFILE ENFILE ENOMEM;
    /// fcntl, F_SETSIG.
    Mark: EINVAL;
    /// write to the eventfd.
    RingBell: EAGAIN EINTR;
    /// read of the eventfd.
    SilenceBell: EAGAIN EINTR;
    /// msgget of a queue that is there.
    FindSysv: EACCES ENOENT ENOSYS;
    /// msgget, IPC_CREAT.
    MakeSysv: EEXIST ENOMEM ENOSPC ENOSYS;
    /// msgsnd.
    SendSysv: EACCES EAGAIN EIDRM EINTR EINVAL ENOMEM;
    /// msgrcv.
    ReceiveSysv: E2BIG EACCES EIDRM EINTR ENOMSG;
    /// msgrcv, MSG_COPY.
    PeekSysv: E2BIG EACCES EIDRM ENOMEM ENOMSG ENOSYS;
    /// msgctl, IPC_RMID.
    RemoveSysv: EIDRM EINVAL EPERM;
    /// msgctl, IPC_SET.
    ChangeSysv: EIDRM EINVAL EPERM;
    /// msgctl, IPC_STAT.
    LookAtSysv: EACCES EIDRM EINVAL;
    /// msgctl, MSG_STAT_ANY and, before Linux 4.17, MSG_STAT.
    LookAtPlace: EACCES EIDRM EINVAL;
    /// msgctl, MSG_INFO.
    LastPlace: ENOSYS EPERM;
    /// msgctl, IPC_INFO.
    SysvLimits: ENOSYS EPERM;
    /// shmget. (All ways to have no bells are one: two errors of each stand for the others.)
    FindSegment: EINVAL ENOSPC;
    /// shmctl, IPC_STAT.
    LookAtSegment: EACCES EIDRM;
    /// shmat.
    Attach: EACCES ENOMEM;
    /// shmdt.
    Detach: EINVAL;
    /// capget.
    Capabilities: EPERM;
    /// stat of the user namespace.
    Namespace: EACCES ENOENT;
    /// rt_sigqueueinfo.
    QueueSignal: EAGAIN;
    /// getrandom.
    Random: EAGAIN EINTR ENOSYS;
    /// getcpu.
    Processor: ENOSYS;
    /// sched_getaffinity.
    OwnProcessors: EINVAL EPERM ESRCH;
    /// sysconf.
    Processors: EINVAL;
    /// pthread_create.
    Thread: EAGAIN EINVAL EPERM;
    /// pthread_setname_np.
    NameThread: EACCES ENOENT;
    /// close; the descriptor is gone all the same.
    Close: EDQUOT EINTR EIO ENOSPC;
    /// Rust's allocator.
    Allocate: ENOMEM;
}

/// Functions and system calls that the sources name and that cannot fail here, and why.
pub const INFALLIBLE: &[(&str, &str)] = &[
    ("clock_gettime", "the clock is one that exists (tests/clocks/ has its own)"),
    ("clock_gettime64", "as clock_gettime, of 32-bit programs"),
    ("fchmodat", "of a FIFO for poll, which no function of the header makes (core/tests/beacon/)"),
    ("fcntl64", "as fcntl, of 32-bit programs"),
    ("ioctl", "FIONREAD of a FIFO that was just found to be one"),
    ("ipc", "as msgget and so on, of 32-bit programs"),
    ("ftruncate64", "only queues of typed messages, which the drop-in makes"),
    ("getauxval", "reads memory"),
    ("getegid", "always succeeds"),
    ("getenv", "reads memory"),
    ("getgroups", "as ftruncate64"),
    ("getpid", "always succeeds"),
    ("gettid", "always succeeds"),
    ("geteuid", "always succeeds"),
    ("inotify_rm_watch", "the watch is there, and nothing depends on it"),
    ("kill", "the fault points of other tests; and as pidfd_open"),
    ("mkfifoat", "as fchmodat"),
    ("pidfd_open", "of a child that may not open the queue, which no deed has (relatives.c)"),
    ("pthread_detach", "the thread is there"),
    ("pthread_sigmask", "the arguments are right"),
    ("sigfillset", "writes memory"),
];
