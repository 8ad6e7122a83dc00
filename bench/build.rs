//! Links the shared library that the Makefile built, and the other libraries if they are here.

use std::path::Path;

fn main() {
    println!("cargo:rerun-if-env-changed=MQRS_LIBRARY");
    let Ok(library) = std::env::var("MQRS_LIBRARY") else {
        panic!("MQRS_LIBRARY must name the directory of libmqueue_rs.so; `make bench` sets it");
    };
    println!("cargo:rustc-link-search=native={library}");
    println!("cargo:rustc-link-arg=-Wl,-rpath,{library}");

    println!("cargo:rustc-check-cfg=cfg(boost, zeromq)");
    println!("cargo:rerun-if-changed=src/transport/boost.cpp");
    if is_here("/usr/include/boost/interprocess/ipc/message_queue.hpp") {
        println!("cargo:rustc-cfg=boost");
        cc::Build::new().cpp(true).file("src/transport/boost.cpp").compile("bench_boost");
    }
    if is_here("/usr/include/zmq.h") {
        println!("cargo:rustc-cfg=zeromq");
    }
}

/// Whether a header is where distributions put it. Cargo asks again once that changes.
fn is_here(header: &str) -> bool {
    println!("cargo:rerun-if-changed={header}");
    Path::new(header).exists()
}
