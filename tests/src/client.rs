//! An HTTP client that tells what came back, whatever it is.

use serde_json::Value;
use std::collections::HashMap;
use std::time::Duration;
use ureq::Agent;

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The content type.
    pub content_type: String,
    /// The headers, by their names in lower case.
    pub headers: HashMap<String, String>,
    /// The body, `Null` when it is no JSON.
    pub body: Value,
}

/// A client of one server.
#[derive(Debug, Clone)]
pub struct Client {
    agent: Agent,
    url: String,
}

impl Client {
    /// A client of the server at this URL.
    pub fn new(url: &str) -> Self {
        let config =
            Agent::config_builder().http_status_as_error(false).timeout_global(Some(Duration::from_secs(15)));
        Self { agent: config.build().into(), url: url.to_owned() }
    }

    /// Asks. `Err` when no answer came: the outcome is not known.
    ///
    /// # Errors
    /// When the connection fails.
    pub fn get(&self, path: &str) -> Result<Answer, ureq::Error> {
        read(self.agent.get(format!("{}{path}", self.url)).call()?)
    }

    /// As [`Client::get`], with more headers.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Result<Answer, ureq::Error> {
        let get = self.agent.get(format!("{}{path}", self.url));
        read(headers.iter().fold(get, |get, (name, value)| get.header(*name, *value)).call()?)
    }

    /// As [`Client::post`], with more headers.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn post_with(
        &self,
        path: &str,
        body: &Value,
        headers: &[(&str, &str)],
    ) -> Result<Answer, ureq::Error> {
        let post = self.agent.post(format!("{}{path}", self.url)).header("content-type", "application/json");
        let post = headers.iter().fold(post, |post, (name, value)| post.header(*name, *value));
        read(post.send(body.to_string().as_bytes())?)
    }

    /// Sends JSON.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn post(&self, path: &str, body: &Value, key: Option<&str>) -> Result<Answer, ureq::Error> {
        self.post_raw(path, "application/json", body.to_string().as_bytes(), key)
    }

    /// Sends whatever it is.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn post_raw(
        &self,
        path: &str,
        content_type: &str,
        body: &[u8],
        key: Option<&str>,
    ) -> Result<Answer, ureq::Error> {
        let mut request = self.agent.post(format!("{}{path}", self.url)).header("content-type", content_type);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        read(request.send(body)?)
    }

    /// Puts so many of a SKU into the stock.
    ///
    /// # Panics
    /// When that is refused.
    pub fn stock(&self, sku: &str, quantity: u32) {
        let body = serde_json::json!({ "sku": sku, "quantity": quantity });
        let added = self.post("/inventory", &body, None).expect("the inventory answers");
        assert!(added.status < 300, "{added:?}");
    }

    /// Places so many orders for one of a SKU each; their ids.
    ///
    /// # Panics
    /// When one is refused.
    pub fn place(&self, sku: &str, count: usize) -> Vec<String> {
        let place = || {
            let placed = self.post("/orders", &order("c-1", sku, 1), None).expect("orders are taken");
            placed.body["order_id"].as_str().map_or_else(|| panic!("{placed:?}"), str::to_owned)
        };
        std::iter::repeat_with(place).take(count).collect()
    }

    /// The status; `Null` while the server does not answer.
    pub fn status(&self) -> Value {
        self.get("/status").map(|answer| answer.body).unwrap_or_default()
    }

    /// Whether nothing is under way any more.
    pub fn is_settled(&self) -> bool {
        let is_quiet = |status: &Value| {
            let number = |value: &Value, name: &str| value[name].as_u64().unwrap_or(1);
            let handlers = status["handlers"].as_array().cloned().unwrap_or_default();
            !handlers.is_empty()
                && number(&status["relay"], "lag_events") == 0
                && handlers.iter().all(|handler| {
                    let parts = ["lag_events", "retrying", "waiting"];
                    parts.iter().all(|part| number(handler, part) == 0)
                })
        };
        // Twice with the log standing still: a handler may have appended what others have yet to see.
        let (one, other) = (self.status(), self.status());
        is_quiet(&one) && is_quiet(&other) && one["position"] == other["position"]
    }
}

fn read(mut response: ureq::http::Response<ureq::Body>) -> Result<Answer, ureq::Error> {
    let status = response.status().as_u16();
    let content_type = response.headers().get("content-type").and_then(|value| value.to_str().ok());
    let content_type = content_type.unwrap_or_default().to_owned();
    let text_of = |value: &ureq::http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = response.headers().iter().map(|(name, value)| (name.to_string(), text_of(value))).collect();
    let text = response.body_mut().read_to_string()?;
    Ok(Answer { status, content_type, headers, body: serde_json::from_str(&text).unwrap_or_default() })
}

/// The body of an order for one SKU.
pub fn order(customer: &str, sku: &str, quantity: u32) -> Value {
    serde_json::json!({
        "customer_id": customer,
        "items": [{ "sku": sku, "quantity": quantity, "price_cents": 1_999 }],
    })
}
