//! The one way out of the real program.

use serde_json::json;

use crate::crash::Place;
use crate::harness::{call, http_client};
use crate::receiver::{Answer, Receiver};

#[tokio::test]
async fn proxies_of_the_environment_are_not_used() {
    let proxy = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    proxy.set_nonblocking(true).expect("can be asked without waiting");
    let address = format!("http://{}", proxy.local_addr().expect("an address"));
    let receiver = Receiver::always(Answer::Status(200)).await;
    let dir = tempfile::tempdir().expect("a directory");
    let place = Place::new(dir.path());
    let mut serve = place.command();
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        serve.env(name, &address).env(name.to_lowercase(), &address);
    }
    let process = place.start(&mut serve);
    let http = http_client();
    let hook = json!({"url": receiver.url, "verify": true});
    let (status, hook) = call(&http, place.api, "POST", "/webhooks", Some(hook)).await;
    assert_eq!(status, 201, "{hook}");
    let path = format!("/webhooks/{}/test", hook["id"]);
    let (status, tested) = call(&http, place.api, "POST", &path, Some(json!({}))).await;
    assert_eq!(status, 200, "{tested}");
    let event = json!({"event": "invoice.paid", "payload": {}, "url": receiver.url});
    let (status, sent) = call(&http, place.api, "POST", "/events", Some(event)).await;
    assert_eq!(status, 202, "{sent}");
    receiver.wait_for(3).await;
    let nobody = proxy.accept().map(drop).map_err(|error| error.kind());
    assert_eq!(nobody, Err(std::io::ErrorKind::WouldBlock));
    process.kill();
}
