//! The charger, alone in virtual time and on real sockets against a central system that answers by rule.

mod bench;
mod central;
mod chores;
mod commands;
mod machine;
mod power;
mod scenarios;
mod sockets;
