//! The kept inputs go through every target's properties, without a fuzzer.

use std::path::{Path, PathBuf};

use noonmark_fuzz::{TARGETS, Target, replay};

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

#[test]
fn every_kept_input_keeps_every_property() {
    for Target { name, check, .. } in TARGETS {
        let replayed = replay(&corpus().join(name), check).expect("the corpus is there");
        assert!(replayed.inputs >= 10, "{name} has only {} inputs", replayed.inputs);
    }
}

#[test]
fn every_folder_of_inputs_has_a_target_and_a_program() {
    let names = |folder: &Path| {
        let entries =
            folder.read_dir().expect("readable").map(|entry| entry.expect("readable").path());
        let mut names: Vec<String> =
            entries.filter_map(|path| path.file_stem()?.to_str().map(str::to_owned)).collect();
        names.sort();
        names
    };
    let mut targets = TARGETS.map(|target| target.name);
    targets.sort_unstable();
    assert_eq!(names(&corpus()), targets);
    assert_eq!(names(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bin")), targets);
}

#[test]
fn no_kept_input_is_large() {
    for Target { name, .. } in TARGETS {
        let entries = corpus().join(name).read_dir().expect("readable");
        let sizes: Vec<u64> = entries
            .map(|entry| entry.and_then(|entry| entry.metadata()).expect("readable").len())
            .collect();
        assert!(sizes.len() <= 150 && sizes.iter().all(|&size| size <= 4096), "{name}: {sizes:?}");
    }
}

#[test]
fn a_missing_input_is_an_error_that_names_it() {
    let error = replay(&corpus().join("no-such-target"), |_| {}).expect_err("it is missing");
    assert!(error.to_string().contains("no-such-target"));
}
