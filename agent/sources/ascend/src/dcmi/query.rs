//! What can be asked of a chip, and what is asked no more.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long a question that was never answered is not put again: it costs a whole reading each time.
const AVOIDED_FOR: Duration = Duration::from_secs(600);

macro_rules! queries {
    ($($name:ident = $word:literal,)*) => {
        /// One call of the library.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(super) enum Query {
            $($name,)*
        }

        impl Query {
            const ALL: &[Self] = &[$(Self::$name,)*];

            /// A word for counting and for the next process.
            pub(super) const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }
        }
    };
}

queries! {
    Model = "model",
    OldModel = "model_v1",
    Pcie = "pcie",
    LogicalId = "logical_id",
    PhysicalId = "physical_id",
    Health = "health",
    Power = "power",
    Temperature = "temperature",
    Voltage = "voltage",
    Hbm = "hbm",
    Ddr = "ddr",
    Utilizations = "utilizations",
    UtilizationAicore = "utilization_aicore",
    UtilizationAicpu = "utilization_aicpu",
    UtilizationControlCpu = "utilization_control_cpu",
    UtilizationDdrBandwidth = "utilization_ddr_bandwidth",
    UtilizationVector = "utilization_vector",
    UtilizationNpu = "utilization_npu",
    UtilizationCube = "utilization_cube",
    ClockAicore = "clock_aicore",
    ClockControlCpu = "clock_control_cpu",
    ClockVector = "clock_vector",
    EccDdr = "ecc_ddr",
    EccSram = "ecc_sram",
    EccHbm = "ecc_hbm",
    Processes = "processes",
}

/// A question to a chip that was never answered, and when it may be put again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Avoided {
    pub(super) npu: u32,
    pub(super) chip: u32,
    pub(super) query: Query,
    until: u64,
}

impl Avoided {
    pub(super) fn now(npu: u32, chip: u32, query: Query) -> Self {
        Self {
            npu,
            chip,
            query,
            until: now() + AVOIDED_FOR.as_secs(),
        }
    }

    /// Also when the clock was set back.
    pub(super) fn is_due(&self) -> bool {
        let left = self.until.saturating_sub(now());
        left == 0 || left > AVOIDED_FOR.as_secs()
    }

    /// As text for the next process, which knows nothing else of this one.
    pub(super) fn join(all: &[Self]) -> String {
        let words = all
            .iter()
            .map(|one| format!("{}/{}/{}/{}", one.npu, one.chip, one.query.as_str(), one.until));
        words.collect::<Vec<_>>().join(",")
    }

    /// The same back; what is not understood is not avoided.
    pub(super) fn split(text: &str) -> Vec<Self> {
        text.split(',').filter_map(Self::parse).collect()
    }

    fn parse(word: &str) -> Option<Self> {
        let mut parts = word.split('/');
        let (npu, chip, query) = (parts.next()?, parts.next()?, parts.next()?);
        Some(Self {
            npu: npu.parse().ok()?,
            chip: chip.parse().ok()?,
            query: *Query::ALL.iter().find(|known| known.as_str() == query)?,
            until: parts.next()?.parse().ok()?,
        })
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_avoided_survives_the_process() {
        let all = [Avoided::now(7, 1, Query::Power), Avoided::now(2144, 0, Query::EccHbm)];
        assert_eq!(Avoided::split(&Avoided::join(&all)), all);
        assert!(!all[0].is_due());
        assert_eq!(Avoided::split(""), []);
        let old = Avoided::split("7/1/power/1000,nonsense,7/1/none/5");
        assert_eq!(old.len(), 1);
        assert!(old[0].is_due());
    }
}
