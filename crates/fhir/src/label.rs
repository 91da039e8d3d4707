//! Security labels (FHIR R4 security-labels, HL7 v3 Confidentiality and ActCode). A closed list passes;
//! every other label withholds its resource, known or not.

/// Labels that ask for no more protection than any record has.
const PASSING: &[&str] = &[
    // v3-Confidentiality: unrestricted, low, moderate, normal.
    "U",
    "L",
    "M",
    "N",
    // v3-ObservationValue: the resource is part of one.
    "SUBSETTED",
    // v3-ActReason: test data.
    "HTEST",
];

/// Labels that stand for a special protection by law or policy.
const RESTRICTED: &[&str] = &[
    // v3-Confidentiality
    "R",
    "V",
    // v3-ActCode, information sensitivity policies
    "42CFRPart2",
    "ALC",
    "BH",
    "CEL",
    "COGN",
    "DIA",
    "DRGIS",
    "DV",
    "DVD",
    "EMP",
    "ETH",
    "ETHUD",
    "GDIS",
    "HIV",
    "IDS",
    "LOCIS",
    "MARST",
    "MH",
    "OPIOIDUD",
    "ORD",
    "PATLOC",
    "PRS",
    "PSY",
    "PSYTHPN",
    "REL",
    "SCA",
    "SDV",
    "SEX",
    "SICKLE",
    "SOC",
    "SPI",
    "SSP",
    "STD",
    "SUD",
    "TBOO",
    "VIO",
    "VIP",
];

/// Whether a label withholds the resource that carries it: all but the passing ones do.
pub fn withholds(code: &str) -> bool {
    !PASSING.contains(&code)
}

/// Whether a label is one of the known special protections, whatever its system.
pub fn is_restricted(code: &str) -> bool {
    RESTRICTED.contains(&code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_restricted_and_every_unknown_label_withholds() {
        assert!(RESTRICTED.iter().all(|code| withholds(code)));
        assert!(withholds("something-new") && withholds("") && withholds("n"));
        assert!(PASSING.iter().all(|code| !is_restricted(code)));
    }
}
