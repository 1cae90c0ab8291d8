//! The standard keys of OCPP 1.6 (section 9) and of its security extension, as this charger has them.

use super::{Access, Kind};

/// Key, what its value looks like, who may change it, its value from the factory.
pub(super) type Row = (&'static str, Kind, Access, &'static str);

pub(super) const DEFAULTS: &[Row] = {
    use Access::{AfterReboot, ReadOnly, ReadWrite};
    use Kind::{Boolean, Measurands, Percent, PhaseRotation, Secret, SecurityProfile, Text, Whole};
    &[
        ("AllowOfflineTxForUnknownId", Boolean, ReadWrite, "false"),
        ("AuthorizationCacheEnabled", Boolean, ReadWrite, "true"),
        ("AuthorizeRemoteTxRequests", Boolean, ReadWrite, "false"),
        ("BlinkRepeat", Whole, ReadWrite, "0"),
        ("ClockAlignedDataInterval", Whole, ReadWrite, "0"),
        ("ConnectionTimeOut", Whole, ReadWrite, "60"),
        ("ConnectorPhaseRotation", PhaseRotation, AfterReboot, "NotApplicable"),
        ("ConnectorPhaseRotationMaxLength", Whole, ReadOnly, "101"),
        ("GetConfigurationMaxKeys", Whole, ReadOnly, "60"),
        ("HeartbeatInterval", Whole, ReadWrite, "300"),
        ("LightIntensity", Percent, ReadWrite, "100"),
        ("LocalAuthorizeOffline", Boolean, ReadWrite, "true"),
        ("LocalPreAuthorize", Boolean, ReadWrite, "false"),
        ("MaxEnergyOnInvalidId", Whole, ReadWrite, "0"),
        ("MeterValuesAlignedData", Measurands, ReadWrite, "Energy.Active.Import.Register"),
        ("MeterValuesAlignedDataMaxLength", Whole, ReadOnly, "10"),
        (
            "MeterValuesSampledData",
            Measurands,
            ReadWrite,
            "Energy.Active.Import.Register,Power.Active.Import,Current.Import,Voltage,SoC",
        ),
        ("MeterValuesSampledDataMaxLength", Whole, ReadOnly, "10"),
        ("MeterValueSampleInterval", Whole, ReadWrite, "10"),
        ("MinimumStatusDuration", Whole, ReadWrite, "0"),
        ("NumberOfConnectors", Whole, ReadOnly, "1"),
        ("ResetRetries", Whole, ReadWrite, "0"),
        ("StopTransactionOnEVSideDisconnect", Boolean, ReadWrite, "true"),
        ("StopTransactionOnInvalidId", Boolean, ReadWrite, "true"),
        ("StopTxnAlignedData", Measurands, ReadWrite, ""),
        ("StopTxnAlignedDataMaxLength", Whole, ReadOnly, "10"),
        ("StopTxnSampledData", Measurands, ReadWrite, "Energy.Active.Import.Register,SoC"),
        ("StopTxnSampledDataMaxLength", Whole, ReadOnly, "10"),
        (
            "SupportedFeatureProfiles",
            Text,
            ReadOnly,
            "Core,FirmwareManagement,LocalAuthListManagement,Reservation,SmartCharging,RemoteTrigger",
        ),
        ("SupportedFeatureProfilesMaxLength", Whole, ReadOnly, "6"),
        ("TransactionMessageAttempts", Whole, ReadWrite, "3"),
        ("TransactionMessageRetryInterval", Whole, ReadWrite, "60"),
        ("UnlockConnectorOnEVSideDisconnect", Boolean, ReadWrite, "true"),
        ("WebSocketPingInterval", Whole, AfterReboot, "0"),
        // Firmware management.
        ("SupportedFileTransferProtocols", Text, ReadOnly, "FTP,HTTP,HTTPS"),
        // Local authorisation list.
        ("LocalAuthListEnabled", Boolean, ReadWrite, "true"),
        ("LocalAuthListMaxLength", Whole, ReadOnly, "1000"),
        ("SendLocalListMaxLength", Whole, ReadOnly, "100"),
        // Reservation.
        ("ReserveConnectorZeroSupported", Boolean, ReadOnly, "true"),
        // Smart charging.
        ("ChargeProfileMaxStackLevel", Whole, ReadOnly, "20"),
        ("ChargingScheduleAllowedChargingRateUnit", Text, ReadOnly, "Current,Power"),
        ("ChargingScheduleMaxPeriods", Whole, ReadOnly, "50"),
        ("ConnectorSwitch3to1PhaseSupported", Boolean, ReadOnly, "false"),
        ("MaxChargingProfilesInstalled", Whole, ReadOnly, "50"),
        // Security extension.
        ("AdditionalRootCertificateCheck", Boolean, ReadOnly, "false"),
        ("AuthorizationKey", Secret, ReadWrite, ""),
        ("CertificateSignedMaxChainSize", Whole, ReadOnly, "10000"),
        ("CertificateStoreMaxLength", Whole, ReadOnly, "10"),
        ("CpoName", Text, ReadWrite, "Simulated CPO"),
        ("SecurityProfile", SecurityProfile, ReadWrite, "0"),
    ]
};
