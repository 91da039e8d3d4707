use phiward_keys::assertion;
use phiward_keys::jwk::JwkSet;
use phiward_keys::opaque::{Opaque, OpaqueKind};
use proptest::prelude::*;

proptest! {
    #[test]
    fn any_text_gets_an_answer(text in "\\PC{0,80}", dotted in "[A-Za-z0-9_.=-]{0,80}") {
        for text in [&text, &dotted] {
            prop_assert!(assertion::peek_client_id(text).is_none());
            prop_assert!(JwkSet::parse(text).is_err());
            prop_assert!(Opaque::parse(OpaqueKind::Code, text).is_none());
        }
    }

    #[test]
    fn a_credential_of_any_bits_reads_back(bytes in any::<[u8; 32]>()) {
        for &kind in OpaqueKind::ALL {
            let made = Opaque::from_bytes(kind, &bytes);
            let read = Opaque::parse(kind, made.expose());
            prop_assert_eq!(read.as_ref().map(Opaque::expose), Some(made.expose()));
        }
    }
}
