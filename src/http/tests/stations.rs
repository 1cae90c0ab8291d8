//! Stations, from their making to their end.

use super::*;

#[tokio::test]
async fn a_station_lives_its_life() {
    let api = Api::new().await;
    let wrong = json!({"station_id": "a/b", "password": "short", "min_security_profile": 4, "boot_status": "maybe",
        "validation": "loose", "time_zone": "not a zone", "vendor": "X"});
    let answer = api.post("/api/v1/stations", wrong).await;
    assert_eq!(
        answer.wrong_fields(),
        [
            "boot_status",
            "min_security_profile",
            "password",
            "station_id",
            "time_zone",
            "validation",
            "vendor"
        ],
        "{}",
        answer.body
    );
    assert!(answer.message("station_id").contains("no /"), "{}", answer.message("station_id"));
    assert!(answer.message("time_zone").contains("Europe/Berlin"), "{}", answer.message("time_zone"));
    let body = json!({"station_id": "WALLBOX 1", "password": "0001020304050607FFFFFFFFFFFFFFFFFFFFFFFF", "metadata": {"site": 7}});
    let made = api.post("/api/v1/stations", body.clone()).await;
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!((&made.body["password_set"], &made.body["boot_status"]), (&json!(true), &json!("accepted")));
    assert!(!made.body.to_string().contains("0001020304050607"));
    assert_eq!(api.post("/api/v1/stations", body).await.status, 409);
    let path = "/api/v1/stations/WALLBOX%201";
    assert_eq!(api.get(path).await.body["metadata"], json!({"site": 7}));
    let patch = json!({"name": "Yard", "blocked": true, "password": null, "vendor": "ignored", "message_size": "64KiB"});
    let patched =
        api.call_with(&api.admin, Method::PATCH, path, Some(patch), &[("if-match", &made.etag())]).await;
    assert_eq!(patched.status, 200, "{}", patched.body);
    assert_eq!((&patched.body["password_set"], &patched.body["vendor"]), (&json!(false), &Value::Null));
    assert_eq!((&patched.body["blocked"], &patched.body["message_size"]), (&json!(true), &json!("64KiB")));
    let stale = api.call_with(&api.admin, Method::DELETE, path, None, &[("if-match", &made.etag())]).await;
    assert_eq!(stale.status, 412);
    assert_eq!(
        api.get("/api/v1/stations?q=wall&blocked=true").await.body["data"].as_array().map(Vec::len),
        Some(1)
    );
    assert_eq!(api.get("/api/v1/stations?connected=true").await.body["data"], json!([]));
    assert_eq!(api.get(&format!("{path}/connectors")).await.body["data"], json!([]));
    assert_eq!(api.call(&api.admin, Method::POST, &format!("{path}/disconnect"), None).await.status, 409);
    assert_eq!(api.call(&api.admin, Method::DELETE, path, None).await.status, 204);
    assert_eq!(api.get(path).await.status, 404);
}

#[tokio::test]
async fn nobody_makes_a_twin_of_anothers_station_in_another_letter_case() {
    let api = Api::new().await;
    let (acme, other) =
        (key(&api.store, &["admin"], Some("acme")).await, key(&api.store, &["admin"], Some("other")).await);
    let make = async |key: &str, id: &str| {
        api.call(key, Method::POST, "/api/v1/stations", Some(json!({"station_id": id}))).await.status
    };
    assert_eq!(make(&acme, "WALLBOX_1").await, 201);
    // A charger that spells itself in any letter case is acme's, and has to stay it.
    assert_eq!(make(&other, "wallbox_1").await, 409);
    assert_eq!(make(&api.admin, "Wallbox_1").await, 409, "nobody's would be another's, too");
    assert_eq!(make(&acme, "wallbox_1").await, 201, "one's own are one's own business");
    assert_eq!(make(&other, "wallbox_2").await, 201);
    let import = Some(json!([{"station_id": "WALLBOX_2"}]));
    let told = api.call(&acme, Method::POST, "/api/v1/stations/import", import).await;
    assert_ne!(told.body["data"][0]["result"], "created", "{}", told.body);
    assert_eq!(api.get("/api/v1/stations/WALLBOX_2").await.status, 404);
}

#[tokio::test]
async fn names_that_paths_use_are_no_stations_but_may_be_tags() {
    let api = Api::new().await;
    for name in ["import", ".", "..", " import "] {
        let refused = api.post("/api/v1/stations", json!({"station_id": name})).await;
        assert_eq!(refused.wrong_fields(), ["station_id"], "{name}: {}", refused.body);
        assert!(refused.message("station_id").contains("import"), "{}", refused.body);
        let imported = api.post("/api/v1/stations/import", json!([{"station_id": name}])).await;
        assert_eq!(imported.body["data"][0]["result"], "invalid", "{}", imported.body);
    }
    for name in ["IMPORT", "imports", "...", ".a"] {
        assert_eq!(api.post("/api/v1/stations", json!({"station_id": name})).await.status, 201, "{name}");
    }
    let path = "/api/v1/id-tags/import";
    let put = api.call(&api.admin, Method::PUT, path, Some(json!({"note": "a"}))).await;
    assert_eq!((put.status, &put.body["id_tag"]), (201, &json!("import")), "{}", put.body);
    assert_eq!(api.get(path).await.body["note"], "a");
    assert_eq!(api.get(&format!("{path}?x=1")).await.wrong_fields(), ["x"]);
    let rows = api.post(path, json!([{"id_tag": "T"}])).await;
    assert_eq!(
        (rows.status, &rows.body["data"][0]["result"]),
        (200, &json!("created")),
        "it is the import still"
    );
    let entries = api.get("/api/v1/audit?resource=id-tags&resource_id=import").await;
    assert_eq!(entries.body["data"][0]["method"], "PUT", "{}", entries.body);
    assert_eq!(api.call(&api.admin, Method::DELETE, path, None).await.status, 204);
    assert_eq!(api.get(path).await.status, 404);
    let reader = key(&api.store, &["read"], None).await;
    assert_eq!(api.call(&reader, Method::PUT, path, Some(json!({}))).await.status, 403);
}
