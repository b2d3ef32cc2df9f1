use super::*;

#[test]
fn a_directory_stays_with_all_that_is_known_of_it_where_no_thread_can_be_had() {
    // Its file system is none of those that are asked without a thread.
    let place = Path::new("/proc/sys");
    let roots = HostRoots::new("/");
    let mut sources = Sources {
        callers: Callers::new("none", 0),
        ..Sources::default()
    };
    let directory = Directory::configured(&roots, place).unwrap();
    let id = directory.id;
    sources.monitor(None, directory, place.to_owned());
    let mut failed = None;
    let changed = sources.read(
        &Living::new(&roots),
        Moment::now(),
        &mut Skipped::default(),
        &mut failed,
    );
    assert!(!changed);
    assert_eq!(failed.unwrap().kind(), io::ErrorKind::ResourceBusy);
    assert_eq!(sources.all().map(|here| here.directory.id).collect::<Vec<_>>(), [id]);

    sources.callers = Callers::new("some", 1);
    let mut failed = None;
    sources.read(
        &Living::new(&roots),
        Moment::now(),
        &mut Skipped::default(),
        &mut failed,
    );
    assert!(failed.is_none(), "{failed:?}");
    assert!(sources.are_open(), "it is read at the next opportunity");
}
