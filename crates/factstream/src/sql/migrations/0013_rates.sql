-- Rates that all processes share: when the next permit of each key is due, nanoseconds since 1970 by the store's clock.
CREATE TABLE fs_rates (
    handler  TEXT   NOT NULL,
    rate_key TEXT   NOT NULL,
    next_at  BIGINT NOT NULL,
    PRIMARY KEY (handler, rate_key)
);
