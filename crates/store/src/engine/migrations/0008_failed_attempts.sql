-- Deliveries by what their last attempt was answered. What has arrived at once, as nearly all do, has no
-- entry.
CREATE INDEX attempts_failed ON attempts (delivery_seq, number, status_code) WHERE error_code IS NOT NULL;

-- Deliveries that took more than one attempt.
CREATE INDEX deliveries_tried_again ON deliveries (seq) WHERE attempts > 1;
