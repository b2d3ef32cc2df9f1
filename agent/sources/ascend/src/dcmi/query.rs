//! Queries of a chip.

macro_rules! queries {
    ($($name:ident = $word:literal,)*) => {
        /// One call of the library.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(super) enum Query {
            $($name,)*
        }

        impl Query {
            /// Name in `agent.reason`, and of the task that can be suspended.
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
