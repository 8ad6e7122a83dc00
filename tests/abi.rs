//! What programs are compiled against: the header, the exported symbols, the version.

use std::collections::BTreeSet;
use std::ffi::{CStr, OsString};
use std::mem::{offset_of, size_of};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

mod common;
use common::{is_there, root, run, skip};
use mqueue_rs::{
    mqrs_attr, mqrs_entry, mqrs_limits, mqrs_msg, mqrs_options, mqrs_stats, mqrs_wait_item,
};

const HEADERS: [&str; 2] = ["mqueue_rs.h", "mqueue_rs.cdef.h"];

/// Every warning that a careful user may turn into an error.
const WARNINGS: [&str; 7] =
    ["-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion", "-Wundef", "-Werror"];

fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn header(name: &str) -> String {
    read(root().join("include").join(name))
}

/// The shared library that was built together with this test.
fn library() -> PathBuf {
    env::current_exe().unwrap().parent().unwrap().join("libmqueue_rs.so")
}

#[test]
fn the_committed_headers_are_what_the_sources_say() {
    for name in HEADERS {
        let generated = read(Path::new(env!("OUT_DIR")).join(name));

        assert!(
            header(name) == generated,
            "include/{name} is not current: build in a tree that can be written to and commit it"
        );
    }
}

#[test]
fn the_library_exports_the_listed_symbols_and_no_other() {
    let listed = read(root().join("abi/mqueue_rs.symbols"));
    let listed: BTreeSet<&str> = listed.lines().collect();

    let nm = run(Command::new("nm").args(["-D", "--defined-only", "-P"]).arg(library()));
    let nm = String::from_utf8(nm.stdout).unwrap();
    let exported: BTreeSet<&str> =
        nm.lines().filter_map(|line| line.split_whitespace().next()).collect();

    assert_eq!(exported, listed);
}

#[test]
fn both_headers_declare_the_exported_functions_and_no_other() {
    let listed = read(root().join("abi/mqueue_rs.symbols"));
    let listed: BTreeSet<&str> = listed.lines().collect();

    for name in HEADERS {
        let text = without_comments(&header(name));
        let declared: BTreeSet<&str> = text
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '(')
            .filter_map(|word| word.strip_suffix('(').or_else(|| Some(word.split_once('(')?.0)))
            .filter(|word| word.starts_with("mqrs_"))
            .collect();

        assert_eq!(declared, listed, "{name}");
    }
}

fn without_comments(text: &str) -> String {
    let mut rest = text;
    let mut kept = String::new();
    while let Some((before, comment)) = rest.split_once("/*") {
        kept.push_str(before);
        rest = comment.split_once("*/").expect("a comment ends").1;
    }
    kept + rest
}

#[test]
fn the_library_has_its_soname_and_outlives_dlclose() {
    let readelf = run(Command::new("readelf").arg("-dW").arg(library()));
    let dynamic = String::from_utf8(readelf.stdout).unwrap();

    assert!(dynamic.contains("soname: [libmqueue_rs.so.0]"), "{dynamic}");
    assert!(dynamic.contains("NODELETE"), "{dynamic}");
}

#[test]
fn the_version_is_the_same_wherever_it_is_told() {
    let [major, minor, patch] = [
        env!("CARGO_PKG_VERSION_MAJOR"),
        env!("CARGO_PKG_VERSION_MINOR"),
        env!("CARGO_PKG_VERSION_PATCH"),
    ];
    let number =
        [major, minor, patch].iter().fold(0, |all, part| all * 1000 + part.parse::<u32>().unwrap());

    assert_eq!(mqueue_rs::mqrs_version_number(), number);
    // SAFETY: a string that lives as long as the library.
    let version = unsafe { CStr::from_ptr(mqueue_rs::mqrs_version()) };
    assert_eq!(version.to_str(), Ok(format!("{major}.{minor}.{patch}").as_str()));

    let (h, cdef) = (header("mqueue_rs.h"), header("mqueue_rs.cdef.h"));
    for (part, value) in
        [("MAJOR", major), ("MINOR", minor), ("PATCH", patch), ("NUMBER", &number.to_string())]
    {
        let define = format!("\n#define MQRS_VERSION_{part} ({value})\n");
        assert!(h.contains(&define), "{define}");
        let enumerator = format!("\n    MQRS_VERSION_{part} = {value},\n");
        assert!(cdef.contains(&enumerator), "{enumerator}");
    }
}

#[test]
fn the_header_without_a_preprocessor_has_no_line_for_one() {
    for line in header("mqueue_rs.cdef.h").lines() {
        assert!(!line.trim_start().starts_with('#') && !line.ends_with('\\'), "{line}");
    }
}

#[test]
fn the_header_without_a_preprocessor_can_be_read_by_cffi() {
    let script = "import sys, cffi; ffi = cffi.FFI(); ffi.cdef(open(sys.argv[1]).read()); \
                  lib = ffi.dlopen(sys.argv[2]); q = ffi.new('mqrs_queue **'); \
                  assert lib.mqrs_version_number() == lib.MQRS_VERSION_NUMBER; \
                  assert ffi.sizeof('mqrs_attr') == ffi.sizeof('struct mqrs_attr') == 64; \
                  assert lib.mqrs_close(ffi.NULL) == 0; \
                  assert lib.mqrs_open(b'/x', -1, ffi.NULL, 0, q) == -22";
    let found = Command::new("python3").args(["-c", "import cffi"]).output();
    if !found.is_ok_and(|output| output.status.success()) {
        return skip("cffi", "python3 with cffi is not installed");
    }

    run(Command::new("python3")
        .args(["-c", script])
        .arg(root().join("include/mqueue_rs.cdef.h"))
        .arg(library()));
}

/// A language version with the warnings that it has.
struct Dialect {
    name: &'static str,
    is_cpp: bool,
    also: &'static [&'static str],
}

const DIALECTS: [Dialect; 4] = [
    Dialect { name: "c99", is_cpp: false, also: &["-Wc++-compat"] },
    Dialect { name: "c11", is_cpp: false, also: &["-Wc++-compat"] },
    Dialect { name: "c++11", is_cpp: true, also: &[] },
    Dialect { name: "c++17", is_cpp: true, also: &[] },
];

/// The compilers to try: the platform's own, which must be there, and clang.
fn compilers(dialect: &Dialect) -> Vec<Command> {
    let mut own = cc::Build::new();
    own.target(env!("TARGET"))
        .host(env!("HOST"))
        .opt_level(1)
        .cargo_metadata(false)
        .cpp(dialect.is_cpp)
        .out_dir(env!("CARGO_TARGET_TMPDIR"));
    let mut compilers = vec![own.get_compiler().to_command()];

    let clang = if dialect.is_cpp { "clang++" } else { "clang" };
    if is_there(clang) {
        compilers.push(Command::new(clang));
    } else {
        skip(
            clang,
            &format!("not installed, so the header is not tried with it as {}", dialect.name),
        );
    }
    compilers
}

/// Compile a program in every dialect with every compiler, all warnings being errors; hands
/// each object file to `then`.
fn compile(name: &str, source: &str, then: impl Fn(&Dialect, Command, &Path)) {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&dir).unwrap();

    for dialect in &DIALECTS {
        for (number, mut compiler) in compilers(dialect).into_iter().enumerate() {
            let extension = if dialect.is_cpp { "cpp" } else { "c" };
            let file = dir.join(format!("{}-{number}.{extension}", dialect.name));
            let object = file.with_extension(format!("{extension}.o"));
            fs::write(&file, source).unwrap();

            let linker = Command::new(compiler.get_program());
            run(compiler
                .arg(format!("-std={}", dialect.name))
                .args(WARNINGS)
                .args(dialect.also)
                .arg("-I")
                .arg(root().join("include"))
                .arg("-c")
                .arg(&file)
                .arg("-o")
                .arg(&object));
            then(dialect, linker, &object);
        }
    }
}

#[test]
fn the_header_compiles_alone_and_twice_without_a_warning() {
    let source = "#include <mqueue_rs.h>\n#include <mqueue_rs.h>\nint use(void);\n\
                  int use(void) { return MQRS_VERSION_NUMBER; }\n";

    compile("header_alone", source, |_, _, _| ());
}

/// The signatures that are promised, word for word, beside the header's.
const SIGNATURES: &str = r#"
int (*const open_)(const char *, int, const struct mqrs_options *, size_t, mqrs_queue **) = mqrs_open;
int (*const open_fd)(int, int, uint64_t, mqrs_queue **) = mqrs_open_fd;
int (*const dup_fd)(const mqrs_queue *) = mqrs_dup_fd;
int (*const set_owner)(mqrs_queue *, uint32_t, uint32_t, uint32_t) = mqrs_set_owner;
int (*const close_)(mqrs_queue *) = mqrs_close;
int (*const unlink_)(const char *) = mqrs_unlink;
const char *(*const name)(const mqrs_queue *) = mqrs_name;
int (*const send_)(mqrs_queue *, const void *, size_t, uint32_t) = mqrs_send;
int (*const timedsend)(mqrs_queue *, const void *, size_t, uint32_t, int64_t) = mqrs_timedsend;
int (*const send_until)(mqrs_queue *, const void *, size_t, uint32_t, int, int64_t) = mqrs_send_until;
ssize_t (*const sendall)(mqrs_queue *, const void *, size_t, uint32_t) = mqrs_sendall;
ssize_t (*const receive)(mqrs_queue *, void *, size_t, uint32_t *) = mqrs_receive;
ssize_t (*const timedreceive)(mqrs_queue *, void *, size_t, int64_t, uint32_t *) = mqrs_timedreceive;
ssize_t (*const receive_until)(mqrs_queue *, void *, size_t, int, int64_t, uint32_t *) = mqrs_receive_until;
int (*const notify_signal)(mqrs_queue *, int, intptr_t, uint64_t) = mqrs_notify_signal;
int (*const notify_callback)(mqrs_queue *, void (*)(mqrs_queue *, void *), void *, uint64_t) = mqrs_notify_callback;
int (*const notify_cancel)(mqrs_queue *) = mqrs_notify_cancel;
int (*const sendmsg_)(mqrs_queue *, const struct mqrs_msg *, size_t, uint64_t, int64_t) = mqrs_sendmsg;
ssize_t (*const recvmsg_)(mqrs_queue *, struct mqrs_msg *, size_t, uint64_t, int64_t) = mqrs_recvmsg;
int (*const fd)(mqrs_queue *) = mqrs_fd;
ssize_t (*const sendmmsg_)(mqrs_queue *, const struct mqrs_msg *, size_t, size_t, uint64_t, int64_t) = mqrs_sendmmsg;
ssize_t (*const recvmmsg_)(mqrs_queue *, struct mqrs_msg *, size_t, size_t, uint64_t, int64_t) = mqrs_recvmmsg;
int (*const reserve)(mqrs_queue *, size_t, int64_t, void **) = mqrs_reserve;
int (*const commit)(mqrs_queue *, void *, size_t, uint32_t) = mqrs_commit;
int (*const timedcommit)(mqrs_queue *, void *, size_t, uint32_t, int64_t) = mqrs_timedcommit;
int (*const abort_)(mqrs_queue *, void *) = mqrs_abort;
ssize_t (*const acquire)(mqrs_queue *, int64_t, const void **, uint32_t *) = mqrs_acquire;
int (*const release)(mqrs_queue *, const void *) = mqrs_release;
int (*const requeue)(mqrs_queue *, const void *) = mqrs_requeue;
int (*const wait_)(struct mqrs_wait_item *, size_t, size_t, int64_t) = mqrs_wait;
int (*const cancel)(mqrs_queue *) = mqrs_cancel;
int (*const set_cancelled)(mqrs_queue *, int) = mqrs_set_cancelled;
int (*const shutdown_)(mqrs_queue *) = mqrs_shutdown;
int (*const getstats)(const mqrs_queue *, struct mqrs_stats *, size_t) = mqrs_getstats;
int (*const set_maxbytes)(mqrs_queue *, uint64_t) = mqrs_set_maxbytes;
int (*const list_open)(uint32_t, mqrs_list **) = mqrs_list_open;
int (*const list_next)(mqrs_list *, struct mqrs_entry *, size_t) = mqrs_list_next;
int (*const list_close)(mqrs_list *) = mqrs_list_close;
int (*const getattr_)(const mqrs_queue *, struct mqrs_attr *, size_t) = mqrs_getattr;
int (*const getlimits)(uint32_t, struct mqrs_limits *, size_t) = mqrs_getlimits;
int (*const set_nonblock)(mqrs_queue *, int) = mqrs_set_nonblock;
const char *(*const strerror_)(int) = mqrs_strerror;
const char *(*const errname)(int) = mqrs_errname;
size_t (*const last_error)(char *, size_t) = mqrs_last_error;
const char *(*const version)(void) = mqrs_version;
uint32_t (*const version_number)(void) = mqrs_version_number;
"#;

#[test]
fn the_functions_have_the_promised_signatures_in_c_and_cpp() {
    let listed = read(root().join("abi/mqueue_rs.symbols"));
    for symbol in listed.lines() {
        assert!(SIGNATURES.contains(&format!("= {symbol};")), "{symbol} has no signature here");
    }
    let mut source = String::from("#include <mqueue_rs.h>\nvoid use(void);\nvoid use(void)\n{\n");
    let mut uses = String::new();
    for line in SIGNATURES.lines().filter(|line| !line.is_empty()) {
        let name = line.split_once("*const ").unwrap().1.split_once(')').unwrap().0;
        source.push_str(&format!("    {line}\n"));
        uses.push_str(&format!("    (void)*{name};\n"));
    }
    source.push_str(&uses);
    source.push_str("}\n");

    compile("signatures", &source, |_, _, _| ());
}

#[test]
fn structs_and_constants_are_in_c_what_they_are_in_rust() {
    let mut facts = vec![
        ("(int)MQRS_ANY".to_owned(), 0),
        ("(int)MQRS_SHM".to_owned(), 1),
        ("(int)MQRS_POSIX".to_owned(), 2),
        ("(int)MQRS_SYSV".to_owned(), 3),
        ("(int)MQRS_AMQP".to_owned(), 4),
        ("(int)MQRS_FOREVER".to_owned(), -1),
        ("(int)MQRS_NOWAIT".to_owned(), 0),
        ("(int)MQRS_PRIO_MAX".to_owned(), 32767),
    ];
    macro_rules! layout {
        ($name:ident: $($field:ident)*) => {
            let name = stringify!($name);
            // With and without the word struct.
            facts.push((format!("(int)sizeof(struct {name})"), size_of::<$name>() as i64));
            facts.push((format!("(int)sizeof({name})"), size_of::<$name>() as i64));
            let mut fields = 0;
            $(
                let field = stringify!($field).trim_start_matches("r#");
                facts.push((
                    format!("(int)offsetof({name}, {field})"),
                    offset_of!($name, $field) as i64,
                ));
                let size = size_of_val(&$name::default().$field);
                facts.push((format!("(int)sizeof((({name} *)0)->{field})"), size as i64));
                fields += size;
            )*
            assert_eq!(fields, size_of::<$name>(), "{name} has padding, or a field not listed");
        };
    }
    layout!(mqrs_options: flags maxmsg msgsize mode reserved);
    layout!(mqrs_attr: transport flags maxmsg msgsize curmsgs curbytes mode uid gid reserved
        capabilities);
    layout!(mqrs_limits: unavailable reserved maxmsg_default maxmsg_max msgsize_default
        msgsize_max queues_max bytes_max prio_max);
    layout!(mqrs_stats: sent received dropped recoveries max_curmsgs blocked_senders
        blocked_receivers users reserved last_send_pid last_receive_pid last_send_ns
        last_receive_ns);
    layout!(mqrs_entry: name attr);
    layout!(mqrs_wait_item: queue events revents);
    #[cfg(target_pointer_width = "32")]
    layout!(mqrs_msg: data len cap pad prio sender_pid sender_uid state r#type sequence sent_ns);
    #[cfg(target_pointer_width = "64")]
    layout!(mqrs_msg: data len cap prio sender_pid sender_uid state r#type sequence sent_ns);
    let mut source = String::from("#include <mqueue_rs.h>\n");
    for (number, (expression, value)) in facts.iter().enumerate() {
        source.push_str(&format!(
            "typedef char fact_{number}[({expression}) == ({value}) ? 1 : -1];\n"
        ));
    }

    compile("layout", &source, |_, _, _| ());
}

/// The program in the header's overview.
fn example() -> String {
    let text = header("mqueue_rs.h");
    let (_, rest) = text.split_once(" * EXAMPLE\n").expect("the header has an example");
    rest.lines()
        .map(|line| line.trim_start_matches(" *"))
        .skip_while(|line| line.is_empty())
        .take_while(|line| line.is_empty() || line.starts_with("     "))
        .map(|line| format!("{}\n", line.get(5..).unwrap_or("")))
        .collect()
}

#[test]
fn the_example_in_the_header_compiles_and_links() {
    let source = example();
    assert!(source.contains("int main(void)"), "{source}");

    // The library's name at run time is its soname.
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("example");
    fs::create_dir_all(&dir).unwrap();
    let soname = dir.join("libmqueue_rs.so.0");
    let _ = fs::remove_file(&soname);
    std::os::unix::fs::symlink(library(), &soname).unwrap();

    compile("example", &source, |dialect, mut linker, object| {
        let program = object.with_extension("program");
        let mut rpath = OsString::from("-Wl,-rpath,");
        rpath.push(&dir);

        run(linker.arg(object).arg("-o").arg(&program).arg(&soname).arg(rpath));

        assert!(program.exists(), "{}", dialect.name);
    });
}
