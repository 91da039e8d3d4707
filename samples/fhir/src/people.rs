//! Who is who among the synthetic patients; a test holds these ids and names against the data.

/// One synthetic person of the sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DemoPatient {
    /// The name this person signs in with in the demo.
    pub username: &'static str,
    /// The logical id of the Patient resource, without `Patient/`.
    pub id: &'static str,
    /// Given and family name as in the Patient resource.
    pub display: &'static str,
}

/// The two people of the demo: `amina`, then `brook`.
pub fn demo_patients() -> [DemoPatient; 2] {
    [
        DemoPatient { username: "amina", id: "pat-f61cd99e7f42", display: "Amina Rahimi" },
        DemoPatient { username: "brook", id: "pat-99fdfce8410d", display: "Brook Sandoval" },
    ]
}

/// The third patient, whom nobody of the demo may see.
pub fn stranger() -> DemoPatient {
    DemoPatient { username: "casey", id: "pat-83f9683f0d82", display: "Casey Lindqvist" }
}
