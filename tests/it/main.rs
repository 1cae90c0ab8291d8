//! The gateway from the outside: real sockets, a real store, real HTTP.

mod api;
mod crash;
mod frames;
mod handshake;
mod harness;
mod house;
mod id_tags;
mod sessions;
