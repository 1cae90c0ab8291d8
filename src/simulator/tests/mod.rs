//! The charger, alone in virtual time and on real sockets against a central system that answers by rule.

mod central;
mod machine;
mod sockets;
