//! Links the shared library that the Makefile built.

fn main() {
    println!("cargo:rerun-if-env-changed=MQRS_LIBRARY");
    let Ok(library) = std::env::var("MQRS_LIBRARY") else {
        panic!("MQRS_LIBRARY must name the directory of libmqueue_rs.so; `make bench` sets it");
    };
    println!("cargo:rustc-link-search=native={library}");
    println!("cargo:rustc-link-arg=-Wl,-rpath,{library}");
}
