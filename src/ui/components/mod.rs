//! What pages are made of. Every component is a function from data to markup; none knows the session, the
//! client or a page.
//!
//! | component | for |
//! |---|---|
//! | [`layout`] | the document around a page: navigation, search, the live mark, messages |
//! | [`card`] | a titled box; a big figure in one |
//! | [`chip`] | a state as shape, colour and word, for every status of the API |
//! | [`table`] | rows with a caption, sorting by links, and the link to the next page |
//! | [`filters`] | a form that narrows a list, and keeps what was chosen |
//! | [`fields`] | the fields of a form that changes something, with what is wrong at each |
//! | [`action`] | buttons that change something, with or without a confirmation; copy buttons |
//! | [`tabs`] | links between pages that belong together |
//! | [`time`] | times and durations |
//! | [`units`] | numbers, energy, power, bytes |
//! | [`bar`], [`curve`], [`quarters`] | charts, as SVG from the server |
//! | [`command`] | a command in a few words |
//! | [`command_fields`] | the fields of a command, and the choice of one |
//! | [`replays`] | how far replays and bulk resends have come |
//! | [`time_line`] | what happened in order, and what is to come |
//! | [`why`], `next_steps` | an answer of `why`, and what can be done next |
//! | [`json`] | a payload, indented |
//! | [`definitions`] | names and values of one thing |
//! | [`empty`] | a page without rows: what to do first |

pub(super) mod action;
pub(super) mod bar;
pub(super) mod card;
pub(super) mod chip;
pub(super) mod command;
pub(super) mod command_fields;
pub(super) mod curve;
pub(super) mod definitions;
pub(super) mod empty;
pub(super) mod fields;
pub(super) mod filters;
pub(super) mod json;
pub(super) mod layout;
mod next_steps;
pub(super) mod quarters;
pub(super) mod replays;
pub(super) mod table;
pub(super) mod tabs;
pub(super) mod time;
pub(super) mod time_line;
pub(super) mod units;
pub(super) mod why;
