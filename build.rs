//! Writes the C headers, sets the soname, and tells the tests the target; nothing else.
//!
//! Both headers go to `OUT_DIR`; the copies in `include/`, which are committed, are touched
//! only where their text differs and the tree can be written to. `tests/abi.rs` compares
//! the two.

use std::path::{Path, PathBuf};
use std::{env, fs};

/// Grows when programs must be compiled again. Apart from the package's version on purpose.
const SONAME: &str = "libmqueue_rs.so.0";

/// The files that the header is made of, in the order of its pages.
const PAGES: [&str; 11] = [
    "src/structs.rs",
    "src/boundary.rs",
    "src/open.rs",
    "src/send.rs",
    "src/receive.rs",
    "src/in_place.rs",
    "src/notify.rs",
    "src/wait.rs",
    "src/attr.rs",
    "src/list.rs",
    "src/info.rs",
];

const OVERVIEW: &str = "src/overview.txt";

fn main() {
    let root = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    let out = PathBuf::from(variable("OUT_DIR"));

    for (name, text) in [("mqueue_rs.h", header(&root)), ("mqueue_rs.cdef.h", cdef(&root))] {
        fs::write(out.join(name), &text).expect("OUT_DIR can be written to");
        let committed = root.join("include").join(name);
        let keep = std::env::var_os("MQRS_KEEP_HEADERS").is_some();
        if !keep && fs::read_to_string(&committed).ok().as_ref() != Some(&text) {
            // A source tree that is read-only keeps what it has: the test tells.
            let _ = fs::write(&committed, &text);
        }
    }
    println!("cargo:rerun-if-env-changed=MQRS_KEEP_HEADERS");
    for watched in ["build.rs", "cbindgen.toml", "include", "src"] {
        println!("cargo:rerun-if-changed={watched}");
    }

    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,{SONAME}");
    // The helper thread and what each thread leaves behind at its end run this library's
    // code, so it must outlive a dlclose.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");

    // The tests compile C for the same target.
    println!("cargo:rustc-env=TARGET={}", variable("TARGET"));
    println!("cargo:rustc-env=HOST={}", variable("HOST"));
}

fn variable(name: &str) -> String {
    println!("cargo:rerun-if-env-changed={name}");
    env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"))
}

/// The header for C and C++, with everything that a user must know.
fn header(root: &Path) -> String {
    let overview = fs::read_to_string(root.join(OVERVIEW)).expect("the overview is there");
    let mut config = configuration(root);
    config.header = Some(comment(&overview));
    config.after_includes = Some(
        version()
            .iter()
            .map(|(name, value)| format!("#define {name} ({value})\n"))
            .collect::<String>(),
    );
    bindings(root, config, true)
}

/// The same declarations without a preprocessor, for foreign function interfaces that have
/// none (cffi, LuaJIT, PHP).
fn cdef(root: &Path) -> String {
    let mut config = configuration(root);
    config.cpp_compat = false;
    config.documentation = false;
    config.include_guard = None;
    config.sys_includes.clear();
    let version: String =
        version().iter().map(|(name, value)| format!("    {name} = {value},\n")).collect();
    config.header = Some(format!(
        "/* The declarations of mqueue_rs.h for programs without a C preprocessor. What they\n\
         \x20* mean is written there. In 32-bit programs struct mqrs_msg has one member more, a\n\
         \x20* uint32_t that is 0, after cap. */\n\nenum {{\n{version}}};"
    ));
    bindings(root, config, false)
}

fn configuration(root: &Path) -> cbindgen::Config {
    cbindgen::Config::from_file(root.join("cbindgen.toml")).expect("cbindgen.toml is valid")
}

fn bindings(root: &Path, config: cbindgen::Config, has_preprocessor: bool) -> String {
    let mut builder = cbindgen::Builder::new().with_config(config);
    for page in PAGES {
        builder = builder.with_src(root.join(page));
    }
    let mut text = Vec::new();
    builder.generate().expect("the sources can be parsed").write(&mut text);
    tidy(&String::from_utf8(text).expect("the sources are text"), has_preprocessor)
}

/// Constants become enumerators of no type of their own, the opaque handle is written as in
/// the manual, and a comment of one line takes one line. A field that 32-bit programs alone
/// have is put under a condition that the compiler can judge, or left out.
fn tidy(text: &str, has_preprocessor: bool) -> String {
    let text = &with_condition(text, has_preprocessor);
    let mut tidied = String::with_capacity(text.len());
    for line in text.lines() {
        let line = line.trim_end();
        let line = if line.starts_with("typedef enum mqrs_constants_") {
            "enum {"
        } else if line.starts_with("} mqrs_constants_") {
            "};"
        } else {
            &line
                .replace("struct mqrs_queue *", "mqrs_queue *")
                .replace("struct mqrs_list *", "mqrs_list *")
        };
        tidied.push_str(line);
        tidied.push('\n');
    }

    let mut compact = String::with_capacity(tidied.len());
    let lines: Vec<&str> = tidied.lines().collect();
    let mut at = 0;
    while at < lines.len() {
        let indent = lines[at].len() - lines[at].trim_start().len();
        match lines[at..] {
            [open, text, close, ..] if open.trim() == "/**" && close.trim() == "*/" => {
                let text = text.trim().trim_start_matches("* ");
                compact.push_str(&format!("{:indent$}/** {text} */\n", ""));
                at += 3;
            }
            _ => {
                compact.push_str(lines[at]);
                compact.push('\n');
                at += 1;
            }
        }
    }
    compact
}

/// What cbindgen writes for a field with `#[cfg(target_pointer_width = "32")]`: the semicolon
/// comes after the condition.
fn with_condition(text: &str, has_preprocessor: bool) -> String {
    const BEGIN: &str = "#if defined(MQRS_POINTERS_OF_32_BITS)\n";
    const END: &str = "\n#endif\n    ;\n";
    let mut rest = text;
    let mut with = String::new();
    while let Some((before, after)) = rest.split_once(BEGIN) {
        let (field, after) = after.split_once(END).expect("a field and its semicolon");
        with.push_str(before);
        if has_preprocessor {
            with.push_str(&format!("#if UINTPTR_MAX == 0xffffffffu\n{field};\n#endif\n"));
        }
        rest = after;
    }
    with + rest
}

fn version() -> [(&'static str, u32); 4] {
    let part = |name| variable(name).parse::<u32>().expect("cargo's version has three numbers");
    let major = part("CARGO_PKG_VERSION_MAJOR");
    let minor = part("CARGO_PKG_VERSION_MINOR");
    let patch = part("CARGO_PKG_VERSION_PATCH");
    [
        ("MQRS_VERSION_MAJOR", major),
        ("MQRS_VERSION_MINOR", minor),
        ("MQRS_VERSION_PATCH", patch),
        ("MQRS_VERSION_NUMBER", major * 1_000_000 + minor * 1000 + patch),
    ]
}

fn comment(text: &str) -> String {
    let mut comment = String::from("/*\n");
    for line in text.lines() {
        comment.push_str(if line.is_empty() { " *" } else { " * " });
        comment.push_str(line);
        comment.push('\n');
    }
    comment.push_str(" */");
    comment
}
