//! What `make install` promises: the files, and that a program builds against them.
//!
//! Every test runs the Makefile as a user would, into a directory of its own. Cargo
//! holds no lock while tests run, so the cargo that make starts does not wait for this
//! one. The first test to come builds the optimised libraries; the others find them.

#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

mod common;
use common::{is_there, make, root, run, skip};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A directory that goes away with its test.
struct Place(PathBuf);

impl Place {
    fn new(test: &str) -> Place {
        Place::at(Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("install-{test}")))
    }

    fn at(path: PathBuf) -> Place {
        // What an earlier run that was killed left behind.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Place(path)
    }

    /// Every file and link below, as paths from here.
    fn files(&self) -> BTreeSet<String> {
        fn walk(dir: &Path, top: &Path, found: &mut BTreeSet<String>) {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() && !path.is_symlink() {
                    walk(&path, top, found);
                } else {
                    found.insert(path.strip_prefix(top).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
        let mut found = BTreeSet::new();
        walk(&self.0, &self.0, &mut found);
        found
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What a command prints, without the end of the last line.
fn said(command: &mut Command) -> String {
    String::from_utf8(run(command).stdout).unwrap().trim_end().to_owned()
}

/// pkg-config that sees one installation only.
fn pkg_config(place: &Place, arguments: &[&str]) -> Vec<String> {
    let flags = said(
        Command::new("pkg-config")
            .args(arguments)
            .arg("mqueue_rs")
            .env("PKG_CONFIG_LIBDIR", place.0.join("lib/pkgconfig"))
            .env_remove("PKG_CONFIG_PATH")
            .env_remove("PKG_CONFIG_SYSROOT_DIR"),
    );
    flags.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn an_install_holds_what_is_promised_and_uninstall_removes_exactly_that() {
    let place = Place::new("files");
    let destdir = format!("DESTDIR={}", place.0.display());
    let arguments =
        [destdir.as_str(), "PREFIX=/opt/q", "LIBDIR=/opt/q/lib64", "INCLUDEDIR=/opt/q/inc"];

    make(["install"].iter().chain(&arguments));

    let so = format!("libmqueue_rs.so.{VERSION}");
    let expected = [
        "opt/q/inc/mqueue_rs.cdef.h",
        "opt/q/inc/mqueue_rs.h",
        "opt/q/lib64/libmqueue_dropin.so",
        "opt/q/lib64/libmqueue_rs.a",
        "opt/q/lib64/libmqueue_rs.so",
        "opt/q/lib64/libmqueue_rs.so.0",
        &format!("opt/q/lib64/{so}"),
        "opt/q/lib64/pkgconfig/mqueue_rs.pc",
    ];
    assert_eq!(BTreeSet::from(expected.map(str::to_owned)), place.files());

    // The links name their neighbours, so that the tree can be moved.
    let lib = place.0.join("opt/q/lib64");
    assert_eq!(Path::new(&so), fs::read_link(lib.join("libmqueue_rs.so.0")).unwrap());
    assert_eq!(Path::new("libmqueue_rs.so.0"), fs::read_link(lib.join("libmqueue_rs.so")).unwrap());

    // The .pc file knows where things will be, not where they were put for now.
    let pc = fs::read_to_string(lib.join("pkgconfig/mqueue_rs.pc")).unwrap();
    for line in [
        "prefix=/opt/q",
        "libdir=${prefix}/lib64",
        "includedir=${prefix}/inc",
        &format!("Version: {VERSION}"),
    ] {
        assert!(pc.lines().any(|have| have == line), "no line {line:?} in\n{pc}");
    }
    assert!(!pc.contains('@'), "a variable was not filled in:\n{pc}");

    // Another package's file stays.
    fs::write(lib.join("libother.a"), "").unwrap();
    make(["uninstall"].iter().chain(&arguments));
    assert_eq!(BTreeSet::from(["opt/q/lib64/libother.a".to_owned()]), place.files());
}

#[test]
fn an_install_into_usr_uses_the_directory_of_the_machine_type() {
    let place = Place::new("multiarch");
    let multiarch = Command::new("cc")
        .arg("-print-multiarch")
        .output()
        .ok()
        .filter(|output| output.status.success())
        .map_or(String::new(), |output| String::from_utf8(output.stdout).unwrap());

    make(["install", "PREFIX=/usr", &format!("DESTDIR={}", place.0.display())]);

    let lib = Path::new("usr/lib").join(multiarch.trim()).join("libmqueue_rs.so");
    assert!(place.0.join(&lib).is_symlink(), "no {} among {:?}", lib.display(), place.files());
}

/// The system libraries that static linking needs come from the compiler. Whoever
/// changes the list, be it a dependency or a new compiler, does so knowingly.
#[test]
fn static_linking_needs_the_system_libraries_that_the_committed_list_names() {
    let place = Place::new("libs");
    make(["install", &format!("PREFIX={}", place.0.display())]);

    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let printed = fs::read_to_string(target.join("release/native-static-libs")).unwrap();
    let committed = fs::read_to_string(root().join("abi/native-static-libs")).unwrap();
    assert_eq!(committed.trim(), printed.trim(), "if this is right, update abi/native-static-libs");

    // gcc_s and c are the compiler driver's business: it alone knows whether -static is on.
    let pc = fs::read_to_string(place.0.join("lib/pkgconfig/mqueue_rs.pc")).unwrap();
    let private = pc.lines().find_map(|line| line.strip_prefix("Libs.private: ")).unwrap();
    let expected: Vec<_> =
        committed.split_whitespace().filter(|lib| !["-lgcc_s", "-lc"].contains(lib)).collect();
    assert_eq!(expected, private.split_whitespace().collect::<Vec<_>>());
}

/// Two Rust archives in one program must not clash over what both contain.
#[test]
fn the_archive_has_no_global_names_but_its_own() {
    let place = Place::new("names");
    make(["install", &format!("PREFIX={}", place.0.display())]);

    let archive = place.0.join("lib/libmqueue_rs.a");
    let listing = said(Command::new("nm").args(["-g", "--defined-only", "-P"]).arg(&archive));
    let names: BTreeSet<_> = listing
        .lines()
        .filter(|line| !line.ends_with(':'))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    let symbols = fs::read_to_string(root().join("abi/mqueue_rs.symbols")).unwrap();
    assert_eq!(symbols.lines().collect::<BTreeSet<_>>(), names);

    // The proof of the pudding: another Rust archive beside this one.
    let other = place.0.join("other.rs");
    fs::write(
        &other,
        "#[unsafe(no_mangle)] pub extern \"C\" fn other(n: i32) -> i32 {\n\
         std::panic::catch_unwind(|| vec![n; 3].iter().sum()).unwrap_or(-1) }\n",
    )
    .unwrap();
    let rustc = std::env::var_os("RUSTC").unwrap_or("rustc".into());
    run(Command::new(rustc)
        .args(["--edition=2024", "--crate-type=staticlib", "-o", "libother.a", "other.rs"])
        .current_dir(&place.0));
    fs::write(
        place.0.join("both.c"),
        "#include <mqueue_rs.h>\n\
         int other(int);\n\
         int main(void) { return other(2) == 6 && mqrs_send(NULL, 0, 0, 0) < 0 ? 0 : 1; }\n",
    )
    .unwrap();
    run(Command::new("cc")
        .args(["both.c", "-Iinclude", "-o", "both", "lib/libmqueue_rs.a", "libother.a"])
        .args(committed_libs())
        .current_dir(&place.0));
    run(Command::new("timeout").args(["60", "./both"]).current_dir(&place.0));
}

fn committed_libs() -> Vec<String> {
    let libs = fs::read_to_string(root().join("abi/native-static-libs")).unwrap();
    libs.split_whitespace().map(str::to_owned).collect()
}

/// The first block of C in the README: what people try first.
fn readme_example() -> String {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let (_, rest) = readme.split_once("```c\n").expect("the README shows a program in C");
    rest.split_once("```").unwrap().0.to_owned()
}

/// How a user links: the flags after the source file.
fn link_flags(place: &Place, how: &str) -> Vec<String> {
    match how {
        "shared" => pkg_config(place, &["--cflags", "--libs"]),
        "static" => {
            let mut flags = vec!["-static".to_owned()];
            flags.extend(pkg_config(place, &["--static", "--cflags", "--libs"]));
            flags
        }
        // This library alone from the archive, the system's shared.
        "archive" => pkg_config(place, &["--static", "--cflags", "--libs"])
            .into_iter()
            .map(|flag| if flag == "-lmqueue_rs" { "-l:libmqueue_rs.a".to_owned() } else { flag })
            .collect(),
        _ => unreachable!(),
    }
}

#[test]
fn the_examples_build_and_run_against_an_install() {
    if !is_there("pkg-config") {
        return skip("pkg-config", "not installed, so the examples are not built");
    }
    let place = Place::new("examples");
    make(["install", &format!("PREFIX={}", place.0.display())]);
    for example in ["exchange.c", "worker_pool.c"] {
        let text = fs::read_to_string(root().join("examples/c").join(example)).unwrap();
        fs::write(place.0.join(example), text).unwrap();
    }
    fs::write(place.0.join("readme.c"), readme_example()).unwrap();
    // The programs use fixed names, so their queues live in a directory of this run.
    let queues = Place::at(format!("/dev/shm/mqrs-install-{}", std::process::id()).into());

    for (compiler, language, standard) in [
        ("cc", "c", "-std=c99"),
        ("c++", "c++", "-std=c++17"),
        ("clang", "c", "-std=c99"),
        ("clang++", "c++", "-std=c++17"),
    ] {
        // The system's own compilers must be there; clang is a second opinion.
        if compiler.starts_with("clang") && !is_there(compiler) {
            skip(compiler, "not installed, so the examples are not built with it");
            continue;
        }
        for how in ["shared", "static", "archive"] {
            for example in ["exchange", "readme", "worker_pool"] {
                let program = format!("{example}-{compiler}-{how}");
                run(Command::new(compiler)
                    .args([standard, "-Wall", "-Wextra", "-Wpedantic", "-Werror"])
                    .args(["-x", language, &format!("{example}.c"), "-x", "none"])
                    .args(["-o", &program])
                    .args(link_flags(&place, how))
                    .current_dir(&place.0));

                let mut command = Command::new("timeout");
                command.arg("60").arg(place.0.join(&program)).env("MQRS_DIR", &queues.0);
                command.env_remove("LD_LIBRARY_PATH");
                if how == "shared" {
                    command.env("LD_LIBRARY_PATH", place.0.join("lib"));
                }
                let printed = said(&mut command);
                assert_eq!(expected_output(example), printed, "from {program}");
                assert!(queues.files().is_empty(), "{program} left {:?}", queues.files());
            }
        }
    }
}

fn expected_output(example: &str) -> &'static str {
    match example {
        "exchange" => "30  the house is on fire\n 3  the post has come\n 0  tea is ready",
        "readme" => "priority 9: urgent\npriority 1: soon",
        "worker_pool" => {
            "a worker was killed in the middle of a job\n100 jobs, each has its result\n168 primes below 1000, 300 below 1990\n4 workers left in good order"
        }
        _ => unreachable!(),
    }
}
