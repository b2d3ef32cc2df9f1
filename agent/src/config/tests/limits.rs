//! `[limits]`.

use super::file;

const MIB: u64 = 1 << 20;

#[test]
fn the_memory_is_what_is_set_or_what_the_control_group_leaves() {
    let limits = file("").config().limits;
    assert_eq!(limits.memory_within(None), (48 * MIB, None));
    assert_eq!(limits.memory_within(Some(4096 * MIB)), (48 * MIB, None));
    assert_eq!(limits.memory_within(Some(64 * MIB)), (48 * MIB, None));
    assert_eq!(limits.memory_within(Some(40 * MIB)), (30 * MIB, None));
    let (memory, doubt) = limits.memory_within(Some(20 * MIB));
    assert_eq!(memory, 15 * MIB);
    assert!(doubt.is_some_and(|doubt| doubt.contains("32MiB or more")));

    let limits = file("[limits]\nmemory = \"96MiB\"").config().limits;
    assert_eq!(limits.memory_within(None), (96 * MIB, None));
    assert_eq!(limits.memory_within(Some(120 * MIB)), (96 * MIB, None));
    let (memory, doubt) = limits.memory_within(Some(64 * MIB));
    assert_eq!(memory, 96 * MIB);
    let doubt = doubt.unwrap_or_default();
    assert!(
        doubt.contains("96MiB is more than the 64MiB") && doubt.contains("lower limits.memory"),
        "{doubt}"
    );
}

#[test]
fn too_little_memory_is_refused() {
    let errors = file("[limits]\nmemory = \"8MiB\"").errors();
    assert!(
        errors.contains("limits.memory") && errors.contains("write 24MiB or more"),
        "{errors}"
    );
    let errors = file("[limits]\nmemory = \"plenty\"").errors();
    assert!(errors.contains("is not a size"), "{errors}");
}
