//! The gateway from the outside: the real program, real sockets, a real store, real HTTP. One binary, so
//! that the crate is linked once.

mod api;
mod authorization;
mod bills;
mod burdens;
mod cases;
mod cli;
mod commands;
mod crash;
mod deliveries;
mod effects;
mod frames;
mod golden;
mod handshake;
mod harness;
mod house;
mod id_tags;
mod jobs;
mod kills;
mod messages;
mod pauses;
mod presence;
mod profiles;
mod properties;
mod quirks;
mod receiver;
mod replays;
mod resends;
mod scripted;
mod sessions;
mod simulated;
mod stations;
mod stats;
mod stops;
mod storm;
mod talks;
