//! The gateways that work on one store.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::ApiState;
use super::auth::Caller;
use super::page::ShortPaging;
use super::problem::Result;
use super::query::Query;
use vocabulary::api::Page;
use vocabulary::api::node::Node;

/// List the nodes
///
/// The gateways that work on one store, the oldest first. A gateway with a store of its own lists itself. One
/// that was stopped is not listed any more, one that was lost is listed for an hour. The list is complete
/// without `limit` and `cursor`. A key that is bound to an owner may not read it.
#[utoipa::path(get, path = "/nodes", tag = "nodes", params(ShortPaging),
    responses((status = 200, body = Page<Node>)), security(("api_key" = ["read"])))]
pub(super) async fn list(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Query(paging): Query<ShortPaging>,
) -> Result<Json<Page<Node>>> {
    caller.may_see_installation()?;
    paging.cut(state.store.nodes().await?, |node| node.epoch.to_string()).map(Json)
}
