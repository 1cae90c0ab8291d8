//! Pages of other origins that read the API.

use reqwest::{Method, Response};

use crate::harness::{ADMIN_KEY, Running, http_client, start};

const NAMED: &str = "https://ops.example.com";

async fn ask(gateway: &Running, method: Method, path: &str, headers: &[(&str, &str)]) -> Response {
    let request = http_client().request(method, gateway.url(path));
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    request.send().await.expect("answers")
}

fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.headers().get(name).map(|value| value.to_str().expect("a text"))
}

const PREFLIGHT: [(&str, &str); 2] =
    [("Access-Control-Request-Method", "PATCH"), ("Access-Control-Request-Headers", "x-api-key")];

#[tokio::test]
async fn a_named_origin_may_use_the_api_with_a_key() {
    let gateway = start(|config| config.api.allowed_origins = vec![NAMED.to_owned()]).await;
    let path = "/api/v1/stations";
    let preflight = [("Origin", NAMED), PREFLIGHT[0], PREFLIGHT[1]];
    let told = ask(&gateway, Method::OPTIONS, path, &preflight).await;
    assert_eq!((told.status().as_u16(), header(&told, "Access-Control-Allow-Origin")), (204, Some(NAMED)));
    for (name, word) in [
        ("Access-Control-Allow-Methods", "PATCH"),
        ("Access-Control-Allow-Headers", "X-API-Key"),
        ("Access-Control-Allow-Headers", "Idempotency-Key"),
        ("Access-Control-Max-Age", "600"),
        ("Vary", "Origin"),
    ] {
        assert!(header(&told, name).is_some_and(|value| value.contains(word)), "{name}: {word}");
    }
    let list = ask(&gateway, Method::GET, path, &[("Origin", NAMED), ("X-API-Key", ADMIN_KEY)]).await;
    assert_eq!((list.status().as_u16(), header(&list, "Access-Control-Allow-Origin")), (200, Some(NAMED)));
    assert!(header(&list, "Access-Control-Expose-Headers").is_some_and(|names| names.contains("ETag")));
    // A page reads why it was refused, too.
    let refused = ask(&gateway, Method::GET, path, &[("Origin", NAMED)]).await;
    assert_eq!(
        (refused.status().as_u16(), header(&refused, "Access-Control-Allow-Origin")),
        (401, Some(NAMED))
    );
    for told in [&told, &list, &refused] {
        assert_eq!(header(told, "Access-Control-Allow-Credentials"), None, "cookies open nothing");
    }
}

#[tokio::test]
async fn other_origins_are_told_nothing() {
    let named = start(|config| config.api.allowed_origins = vec![NAMED.to_owned()]).await;
    let nobody = start(|_| {}).await;
    let others = [
        "https://ops.example.com.evil.example",
        "http://ops.example.com",
        "https://ops.example.com:444",
        "null",
    ];
    let asked = others.map(|origin| (&named, origin)).into_iter().chain([(&nobody, NAMED)]);
    for (gateway, origin) in asked {
        let preflight = [("Origin", origin), PREFLIGHT[0], PREFLIGHT[1]];
        let told = ask(gateway, Method::OPTIONS, "/api/v1/stations", &preflight).await;
        assert!(told.status().is_client_error(), "{origin}: {}", told.status());
        let headers = [("Origin", origin), ("X-API-Key", ADMIN_KEY)];
        let list = ask(gateway, Method::GET, "/api/v1/stations", &headers).await;
        // Programs send what they like as their origin: the key counts.
        assert_eq!(list.status().as_u16(), 200);
        for told in [told, list] {
            assert_eq!(header(&told, "Access-Control-Allow-Origin"), None, "{origin}");
        }
    }
    // The pages of the dashboard are no API: a named origin reads none of them.
    let page = ask(&named, Method::GET, "/ui/login", &[("Origin", NAMED)]).await;
    assert_eq!((page.status().as_u16(), header(&page, "Access-Control-Allow-Origin")), (200, None));
}
