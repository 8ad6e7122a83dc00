//! The drop-in: what it exports, and that programs of <mqueue.h> run with it as without.
//!
//! The programs of `ctests/dropin` know nothing of this library. Each runs on the kernel's
//! queues, which so judges the program, and then with `libmqueue_dropin.so` in front of libc
//! and no kernel queue allowed (RLIMIT_MSGQUEUE 0); it must have been called, and must leave
//! nothing behind. `dropin/together.c` knows both: a queue of one header is the other's, too.

#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

mod common;
use common::{Queues, TARGET_32, c_compiler, drop_in, libraries, link_library, root, run, skip};

const SKIPPED: i32 = 77;

/// The one for programs of 32 bits; or why there can be none here.
fn drop_in_of_32_bits() -> Result<&'static Path, &'static str> {
    static BUILT: OnceLock<Result<PathBuf, &str>> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        common::can_do_32_bits(&workshop())?;
        common::make(["dropin", &format!("DROPIN_TARGET={TARGET_32}")]);
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
        Ok(target.join("dropin").join(TARGET_32).join("libmqueue_dropin.so"))
    });
    built.as_deref().map_err(|reason| *reason)
}

fn workshop() -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("dropin");
    fs::create_dir_all(&directory).unwrap();
    directory
}

/// Compile a program of this tree to an executable of that name, with more words for the compiler.
fn compile(source: &str, name: &str, target: &str, more: &[&OsStr]) -> PathBuf {
    let executable = workshop().join(name);
    run(c_compiler(target, &workshop())
        .arg(root().join(source))
        .args(["-pthread", "-o"])
        .arg(&executable)
        .args(more)
        .arg("-lrt"));
    executable
}

/// Where ctests/dropin has a program.
fn source_of(program: &str) -> String {
    format!("ctests/dropin/{program}.c")
}

/// A program that can have no queue of the kernel.
fn without_kernel_queues(program: &Path) -> Command {
    let mut shell = Command::new("sh");
    shell.args([
        "-c",
        "ulimit -q 0 2>/dev/null || prlimit --msgqueue=0 --pid $$; exec \"$0\" \"$@\"",
    ]);
    shell.arg(program);
    shell
}

/// With the drop-in in front.
fn with(library: &Path, program: &Path, queues: &Queues) -> Command {
    let mut command = without_kernel_queues(program);
    command.env("LD_PRELOAD", library).env("MQRS_DIR", &queues.0).env("MQRS_DROPIN_TRACE", "1");
    command
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn judge(program: &str, output: &Output) {
    let text = text(output);
    text.lines().filter(|line| line.starts_with("SKIP ")).for_each(common::log_skip);
    let is_good = matches!(output.status.code(), Some(0 | SKIPPED));
    assert!(is_good, "{program} failed ({}):\n{text}", output.status);
}

/// A family of calls.
struct Calls {
    name: &'static str,
    /// What is there where the kernel has queues for them.
    kernel: &'static str,
    /// What the environment says for them to be ours.
    variables: &'static [(&'static str, &'static str)],
    /// What the trace tells of an open that was ours. (Calls that go on to the kernel are
    /// counted, too.)
    proof: &'static str,
}

const POSIX: Calls = Calls {
    name: "message",
    kernel: "/proc/sys/fs/mqueue",
    variables: &[],
    proof: "mqueue_dropin: mq_open(",
};

/// Ours where that is asked for.
const SYSTEM_V: Calls = Calls {
    name: "System V",
    kernel: "/proc/sysvipc/msg",
    variables: &[("MQRS_DROPIN_SYSV", "1")],
    proof: "mqueue_dropin: msgget(",
};

/// Run a program of ctests/dropin that makes these calls, on the kernel and on the drop-in.
fn on_both(calls: &Calls, program: &str) {
    let executable = compile(&source_of(program), program, env!("TARGET"), &[]);
    if Path::new(calls.kernel).exists() {
        judge(program, &Command::new(&executable).output().unwrap());
    } else {
        let lack = format!("the kernel has no {} queues that could judge the programs", calls.name);
        skip("dropin", &lack);
    }
    on_dropin(calls, drop_in(), &executable);
}

fn on_dropin(calls: &Calls, library: &Path, executable: &Path) {
    let program = executable.file_name().and_then(OsStr::to_str).unwrap();
    let queues = Queues::new(program);
    let mut command = with(library, executable, &queues);
    let output = command.envs(calls.variables.iter().copied()).output().unwrap();
    judge(program, &output);
    let is_proven = text(&output).contains(calls.proof);
    assert!(is_proven || output.status.code() == Some(SKIPPED), "{}", text(&output));
    assert_eq!(BTreeSet::new(), queues.files(), "{program} left files behind");
}

#[test]
fn programs_open_and_close_as_without() {
    on_both(&POSIX, "open_close");
}

#[test]
fn programs_send_and_receive_as_without() {
    on_both(&POSIX, "transfer");
}

#[test]
fn programs_poll_and_duplicate_as_without() {
    on_both(&POSIX, "descriptor");
}

#[test]
fn programs_read_what_is_told_of_a_queue_as_without() {
    on_both(&POSIX, "read");
}

#[test]
fn programs_are_notified_as_without() {
    on_both(&POSIX, "notify");
}

#[test]
fn other_programs_have_been_notified_when_a_send_returns() {
    on_both(&POSIX, "notify_others");
}

#[test]
fn threads_are_cancelled_and_interrupted_as_without() {
    on_both(&POSIX, "cancel");
}

#[test]
fn system_v_messages_are_picked_and_refused_as_without() {
    on_both(&SYSTEM_V, "sysv_messages");
}

#[test]
fn system_v_queues_are_made_filled_and_removed_as_without() {
    on_both(&SYSTEM_V, "sysv_control");
}

#[test]
fn system_v_calls_wait_and_end_as_without() {
    on_both(&SYSTEM_V, "sysv_waiting");
}

#[test]
fn system_v_queues_are_used_by_whom_their_mode_lets_as_without() {
    on_both(&SYSTEM_V, "sysv_rights");
}

#[test]
fn system_v_calls_go_on_to_the_kernel_where_ours_are_not_asked_for() {
    if !Path::new(SYSTEM_V.kernel).exists() {
        return skip("dropin", "the kernel has no System V queues to go on to");
    }
    let queues = Queues::new("sysv-not-ours");
    let executable = compile(&source_of("sysv_messages"), "sysv_messages-on", env!("TARGET"), &[]);

    let output = with(drop_in(), &executable, &queues).output().unwrap();

    judge("sysv_messages", &output);
    let told = text(&output);
    assert!(told.contains("mqueue_dropin: calls: msgget "), "{told}");
    assert!(!told.contains(SYSTEM_V.proof), "{told}");
}

#[test]
fn the_example_that_measures_runs() {
    let queues = Queues::new("rate");
    let executable = compile("examples/c/dropin_rate.c", "dropin_rate", env!("TARGET"), &[]);
    let output = run(&mut with(drop_in(), &executable, &queues));
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 2);
}

/// Those with times of 64 bits call functions that have names of their own.
#[test]
fn programs_of_32_bits_run_with_one_of_32_bits() {
    let library = match drop_in_of_32_bits() {
        Ok(library) => library,
        Err(reason) => return skip("32-bit", reason),
    };
    let posix =
        ["open_close", "transfer", "descriptor", "read", "notify", "notify_others", "cancel"];
    let system_v = ["sysv_messages", "sysv_control", "sysv_waiting", "sysv_rights"];
    let programs = posix.map(|program| (&POSIX, program)).into_iter();
    for (calls, program) in programs.chain(system_v.map(|program| (&SYSTEM_V, program))) {
        for (times, words) in [("64", &[][..]), ("32", &[OsStr::new("-U_TIME_BITS")])] {
            let name = format!("{program}-32-times-{times}");
            let executable = compile(&source_of(program), &name, TARGET_32, words);
            on_dropin(calls, library, &executable);
        }
    }
}

#[test]
fn every_program_of_the_directory_is_run() {
    let own = fs::read_to_string(root().join("tests/dropin.rs")).unwrap();
    for entry in fs::read_dir(root().join("ctests/dropin")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension() == Some(OsStr::new("c")) {
            let name = path.file_stem().unwrap().to_str().unwrap();
            // As the last argument: what is in a list may be run in 32 bits alone.
            assert!(own.contains(&format!("\"{name}\")")), "{name} is run by no test");
        }
    }
}

/// The loader passes a function with a version of our own over, silently.
fn exports_only(library: &Path, lists: &[&str]) {
    let output = run(Command::new("nm").args(["-D", "--defined-only"]).arg(library));
    let text = String::from_utf8(output.stdout).unwrap();
    let exported: BTreeSet<&str> =
        text.lines().map(|line| line.split_whitespace().last().unwrap()).collect();
    let listed =
        lists.iter().map(|list| fs::read_to_string(root().join("abi").join(list)).unwrap());
    let listed: String = listed.collect();
    assert_eq!(listed.lines().collect::<BTreeSet<_>>(), exported);
}

#[test]
fn the_library_exports_its_list_without_versions_and_nothing_else() {
    exports_only(drop_in(), &["mqueue_dropin.symbols"]);
}

#[test]
fn the_one_of_32_bits_exports_a_second_list_as_well() {
    match drop_in_of_32_bits() {
        Ok(library) => {
            exports_only(library, &["mqueue_dropin.symbols", "mqueue_dropin.symbols.32"]);
        }
        Err(reason) => skip("32-bit", reason),
    }
}

#[test]
fn a_program_may_be_linked_with_it_instead() {
    let queues = Queues::new("linked");
    let rpath = format!("-Wl,-rpath,{}", drop_in().parent().unwrap().display());
    let more = [drop_in().as_os_str(), OsStr::new(&rpath)];
    let executable = compile(&source_of("transfer"), "linked", env!("TARGET"), &more);
    let output = without_kernel_queues(&executable)
        .env("MQRS_DIR", &queues.0)
        .env("MQRS_DROPIN_TRACE", "1")
        .output()
        .unwrap();
    judge("transfer", &output);
    assert!(text(&output).contains("mqueue_dropin: calls: "), "{}", text(&output));
}

#[test]
fn programs_of_both_headers_use_a_queue_together() {
    let place = workshop().join("library");
    fs::create_dir_all(&place).unwrap();
    link_library(&libraries(), &place);
    let words = [
        format!("-I{}", root().join("include").display()),
        format!("-L{}", place.display()),
        "-lmqueue_rs".to_owned(),
        format!("-Wl,-rpath,{}", place.display()),
    ];
    let words = words.each_ref().map(OsStr::new);
    let executable = compile("tests/dropin/together.c", "together", env!("TARGET"), &words);
    on_dropin(&POSIX, drop_in(), &executable);
}

/// Run ctests/dropin/settings.c with these variables; gives what became of each queue.
fn settings(
    test: &str,
    limit: &str,
    variables: &[(&str, &str)],
    arguments: &[&str],
) -> Vec<String> {
    let queues = Queues::new(test);
    let executable =
        compile(&source_of("settings"), &format!("settings-{test}"), env!("TARGET"), &[]);
    let output = Command::new("sh")
        .args(["-c", "prlimit --msgqueue=$0 --pid $$ && exec \"$@\"", limit])
        .arg(&executable)
        .args(arguments)
        .env("LD_PRELOAD", drop_in())
        .env("MQRS_DIR", &queues.0)
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// A name that no other run of this test has.
fn name(start: &str) -> String {
    format!("/{start}-{}", std::process::id())
}

#[test]
fn by_default_every_name_is_ours_and_only_our_limits_count() {
    let came = settings("own", "0", &[], &["100000", &name("one"), &name("two")]);
    assert_eq!(came, ["ours", "ours"]);
}

#[test]
fn names_that_do_not_match_go_on_to_the_kernel() {
    if !common::has_kernel_queues() {
        return skip("dropin", "the kernel has no message queues that could judge the programs");
    }
    let variables = [("MQRS_DROPIN_QUEUES", "/ours-*")];
    let came =
        settings("pattern", "819200", &variables, &["2", &name("ours-a"), &name("b"), "/x/y"]);
    assert_eq!(came, ["ours", "kernel", &libc::EACCES.to_string()]);
}

#[test]
fn the_kernels_limits_count_where_that_is_asked_for() {
    let variables = [("MQRS_DROPIN_LIMITS", "kernel")];
    let names: Vec<String> = (0..11).map(|i| name(&format!("limited{i}"))).collect();
    let mut arguments = vec!["10"];
    arguments.extend(names.iter().map(String::as_str));

    // 9 of (8192 + 96) * 10 bytes fit.
    let came = settings("limits", "819200", &variables, &arguments);

    let mut expected = vec!["ours".to_owned(); 9];
    expected.resize(11, libc::EMFILE.to_string());
    assert_eq!(came, expected);

    // Above the limit for everybody, root included.
    let came = settings("hard", "819200", &variables, &["70000", &name("large")]);
    assert_eq!(came, [libc::EINVAL.to_string()]);
}

#[test]
fn a_trace_tells_of_opens_and_calls() {
    let queues = Queues::new("trace");
    let executable = compile(&source_of("settings"), "settings-trace", env!("TARGET"), &[]);
    let output =
        with(drop_in(), &executable, &queues).args(["2", "/traced", "bad"]).output().unwrap();

    let told = String::from_utf8(output.stderr).unwrap();

    let lines: Vec<&str> = told.lines().collect();
    assert!(
        lines[0].starts_with("mqueue_dropin: mq_open(\"/traced\", O_RDWR|O_CREAT) = "),
        "{told}"
    );
    assert_eq!(lines[1], "mqueue_dropin: mq_open(\"bad\", O_RDWR|O_CREAT): errno 22");
    assert_eq!(
        lines[2],
        "mqueue_dropin: calls: mq_open 2, mq_unlink 2, mq_send 1, mq_receive 1, mq_getattr 1"
    );
    assert_eq!(lines.len(), 3, "{told}");
}
