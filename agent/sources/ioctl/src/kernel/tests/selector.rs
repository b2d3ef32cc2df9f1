use super::*;
use crate::Family;
use std::cell::RefCell;
use std::io;
use std::rc::Rc;

/// A kernel that has some kinds of hooks.
#[derive(Default)]
struct Fake {
    fentry: bool,
    kprobe: bool,
    compat: bool,
    modules: Rc<RefCell<BTreeMap<&'static str, u64>>>,
    symbols: Vec<&'static str>,
    attached: Rc<RefCell<Vec<String>>>,
}

struct Held(String, Rc<RefCell<Vec<String>>>);

impl Drop for Held {
    fn drop(&mut self) {
        self.1.borrow_mut().retain(|name| *name != self.0);
    }
}

impl Fake {
    fn attach(&self, allowed: bool, name: String) -> Result<Held, HookError> {
        if !allowed {
            return Err(HookError::Attach {
                to: name,
                source: io::Error::from_raw_os_error(libc::ENOENT),
            });
        }
        assert!(!self.attached.borrow().contains(&name), "{name} is attached twice");
        self.attached.borrow_mut().push(name.clone());
        Ok(Held(name, Rc::clone(&self.attached)))
    }
}

impl Hooks for Fake {
    type Attached = Held;

    fn fentry(&mut self, module: &str, symbol: &str) -> Result<Held, HookError> {
        self.attach(
            self.fentry && self.symbols.contains(&symbol),
            format!("fentry {module} {symbol}"),
        )
    }

    fn kprobe(&mut self, symbol: &str) -> Result<Held, HookError> {
        self.attach(
            self.kprobe && self.symbols.contains(&symbol),
            format!("kprobe {symbol}"),
        )
    }

    fn compat(&mut self) -> Result<Held, HookError> {
        self.attach(self.compat, "compat".into())
    }

    fn tracepoints(&mut self) -> Result<Held, HookError> {
        self.attach(true, "tracepoints".into())
    }

    fn raw_tracepoints(&mut self) -> Result<Held, HookError> {
        self.attach(true, "raw".into())
    }

    fn module(&self, module: &str) -> Option<u64> {
        self.modules.borrow().get(module).copied()
    }
}

const RESOLVABLE: Resolvable = Resolvable {
    files: true,
    descriptors: true,
};

fn device(family: Family, name: &str, driver: Option<&str>) -> Device {
    Device {
        number: rustix::fs::makedev(240, 0),
        name: name.into(),
        family,
        module: None,
        abi: driver.map(str::to_owned),
        driver_version: None,
        address: None,
        hw_id: None,
        node: None,
        extra: family == &crate::families::OTHER,
    }
}

fn selected(selections: &[Selection<'_>]) -> Vec<(HookKind, Option<String>)> {
    selections
        .iter()
        .map(|selection| (selection.driver.hook, selection.driver.symbol.clone()))
        .collect()
}

#[test]
fn each_driver_gets_the_best_that_there_is_for_it() {
    let attached = Rc::default();
    let fake = Fake {
        fentry: true,
        symbols: vec!["hailo_pcie_fops_unlockedioctl"],
        modules: Rc::new(RefCell::new([("hailo_pci", 7)].into())),
        attached: Rc::clone(&attached),
        ..Fake::default()
    };
    let mut selector = HookSelector::new(fake, crate::Hooks::Auto.allowed(), RESOLVABLE);
    let devices = [
        device(&accelscope_hailo::FAMILY, "hailo0", Some("4.20.0")),
        device(&accelscope_hailo::FAMILY, "hailo1", Some("4.20.0")),
        device(&crate::families::OTHER, "full", None),
    ];
    let all: Vec<_> = devices.iter().collect();
    let selections = selector.select(&all, &Environment::default());
    assert_eq!(
        selected(&selections),
        [
            (HookKind::Fentry, Some("hailo_pcie_fops_unlockedioctl".into())),
            (HookKind::Tracepoint, None)
        ]
    );
    assert_eq!(selections[0].devices, [0, 1]);
    assert_eq!(selections[1].driver.obstacles.len(), 1, "why none of its own function");
    assert_eq!(
        *attached.borrow(),
        ["fentry hailo_pci hailo_pcie_fops_unlockedioctl", "tracepoints"]
    );

    selector.select(&all[..2], &Environment::default());
    assert_eq!(*attached.borrow(), ["fentry hailo_pci hailo_pcie_fops_unlockedioctl"]);
    selector.select(&[], &Environment::default());
    assert_eq!(*attached.borrow(), [""; 0], "nothing stays attached without a device");
}

#[test]
fn a_module_that_is_loaded_anew_is_hooked_anew() {
    let (attached, modules) = (Rc::default(), Rc::new(RefCell::new(BTreeMap::from([("hailo_pci", 7)]))));
    let fake = Fake {
        kprobe: true,
        symbols: vec!["hailo_pcie_fops_unlockedioctl"],
        modules: Rc::clone(&modules),
        attached: Rc::clone(&attached),
        ..Fake::default()
    };
    let mut selector = HookSelector::new(fake, crate::Hooks::Auto.allowed(), RESOLVABLE);
    let hailo = device(&accelscope_hailo::FAMILY, "hailo0", None);
    selector.select(&[&hailo], &Environment::default());
    let before = selector.functions.keys().next().copied().unwrap();
    selector.select(&[&hailo], &Environment::default());
    assert_eq!(selector.functions.keys().next().copied(), Some(before), "it stays");
    // The dead hook holds the name in the fake as it does not in a kernel.
    selector.select(&[], &Environment::default());
    modules.borrow_mut().insert("hailo_pci", 8);
    selector.select(&[&hailo], &Environment::default());
    assert_ne!(selector.functions.keys().next().copied(), Some(before));
    assert_eq!(attached.borrow().len(), 1);
}

#[test]
fn a_call_that_passes_two_known_functions_is_counted_at_one() {
    let fake = Fake {
        kprobe: true,
        symbols: vec!["drm_ioctl", "amdgpu_drm_ioctl"],
        modules: Rc::new(RefCell::new([("amdgpu", 1), ("drm", 2)].into())),
        ..Fake::default()
    };
    let attached = Rc::clone(&fake.attached);
    let mut selector = HookSelector::new(fake, crate::Hooks::Auto.allowed(), RESOLVABLE);
    let gpu = device(&crate::families::DRM, "renderD128", Some("amdgpu"));
    let other = device(&crate::families::DRM, "card0", Some("ast"));
    selector.select(&[&gpu], &Environment::default());
    assert_eq!(*attached.borrow(), ["kprobe amdgpu_drm_ioctl"]);
    selector.select(&[&gpu, &other], &Environment::default());
    assert_eq!(*attached.borrow(), ["kprobe drm_ioctl"]);
}

#[test]
fn what_is_forced_is_used_and_else_nothing() {
    let (other, hailo) = (
        device(&crate::families::OTHER, "full", None),
        device(&accelscope_hailo::FAMILY, "hailo0", None),
    );
    let raw = HookSelector::new(Fake::default(), vec![HookKind::RawTracepoint], RESOLVABLE)
        .select(&[&other], &Environment::default());
    assert_eq!(selected(&raw), [(HookKind::RawTracepoint, None)]);
    let fentry = HookSelector::new(Fake::default(), vec![HookKind::Fentry], RESOLVABLE)
        .select(&[&hailo], &Environment::default());
    assert_eq!(selected(&fentry), [(HookKind::Scan, None)]);
    assert!(
        fentry[0].driver.obstacles[0]
            .what
            .contains("hailo_pcie_fops_unlockedioctl")
    );
    let blind = Resolvable {
        files: false,
        descriptors: false,
    };
    let blind = HookSelector::new(Fake::default(), crate::Hooks::Auto.allowed(), blind)
        .select(&[&other], &Environment::default());
    assert_eq!(selected(&blind), [(HookKind::Scan, None)]);
    assert!(
        blind[0]
            .driver
            .obstacles
            .last()
            .unwrap()
            .remedy
            .as_ref()
            .unwrap()
            .contains("ioctl.btf")
    );
}

#[test]
fn calls_of_32_bit_programs_are_hooked_beside_hooks_that_do_not_see_them() {
    let hailo = device(&accelscope_hailo::FAMILY, "hailo0", None);
    let full = device(&crate::families::OTHER, "full", None);
    let fake = || Fake {
        kprobe: true,
        compat: true,
        symbols: vec!["hailo_pcie_fops_unlockedioctl"],
        ..Fake::default()
    };
    let mut runs_none = Environment::default();
    runs_none.options.insert("CONFIG_COMPAT", 'n');
    let cases: [(HookKind, &Device, bool); 3] = [
        (HookKind::Kprobe, &hailo, true),
        (HookKind::Tracepoint, &full, true),
        (HookKind::RawTracepoint, &full, false),
    ];
    for (hook, device, needed) in cases {
        let fake = fake();
        let attached = Rc::clone(&fake.attached);
        let mut selector = HookSelector::new(fake, vec![hook], RESOLVABLE);
        for _ in 0..2 {
            let selections = selector.select(&[device], &Environment::default());
            assert_eq!(attached.borrow().contains(&"compat".to_owned()), needed, "{hook}");
            assert_eq!(selections[0].driver.unseen, [""; 0]);
        }
        selector.select(&[device], &runs_none);
        assert!(!attached.borrow().contains(&"compat".to_owned()), "{hook}");
        selector.select(&[], &Environment::default());
        assert_eq!(*attached.borrow(), [""; 0]);
    }
    let blind = Fake {
        compat: false,
        ..fake()
    };
    let mut known = Environment::default();
    known.options.insert("CONFIG_COMPAT", 'y');
    let selections = HookSelector::new(blind, vec![HookKind::Tracepoint], RESOLVABLE).select(&[&full], &known);
    let unseen = &selections[0].driver.unseen;
    assert!(
        unseen[0].contains("32-bit programs are not seen: no kprobe"),
        "{unseen:?}"
    );
}
