package bench;

import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import com.fasterxml.jackson.annotation.JsonProperty;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.jdbc.core.JdbcTemplate;
import org.springframework.kafka.annotation.KafkaListener;
import org.springframework.stereotype.Component;
import org.springframework.transaction.support.TransactionTemplate;

/**
 * One transaction a batch: what is in the inbox is left out, the rest is marked and its rows are written, each in one
 * batch that the driver sends as few statements. A mark that another member set meanwhile is refused by the inbox's key: all
 * is rolled back, and the batch comes again.
 */
@Component
class Inbox {
    private static final String KNOWN = "SELECT event_id FROM inbox WHERE consumer = ? AND event_id = ANY (?)";
    private static final String MARK = "INSERT INTO inbox (consumer, event_id) VALUES (?, ?)";
    private static final String UPSERT =
            "INSERT INTO placed_orders (order_id, customer_id, total_cents) VALUES (?, ?, ?) ON CONFLICT (order_id)"
                    + " DO UPDATE SET customer_id = excluded.customer_id, total_cents = excluded.total_cents";

    @JsonIgnoreProperties(ignoreUnknown = true)
    record Placed(
            @JsonProperty("customer_id") String customerId, @JsonProperty("total_cents") long totalCents) {}

    private record Event(UUID id, String orderId, Placed placed) {}

    private final JdbcTemplate jdbc;
    private final TransactionTemplate transaction;
    private final ObjectReader reader;
    private final String group;
    private final long size;
    private final AtomicLong began = new AtomicLong();
    private final AtomicLong handled = new AtomicLong();

    Inbox(
            JdbcTemplate jdbc,
            TransactionTemplate transaction,
            ObjectMapper mapper,
            @Value("${bench.group}") String group,
            @Value("${bench.size}") long size) {
        this.jdbc = jdbc;
        this.transaction = transaction;
        this.reader = mapper.readerFor(Placed.class);
        this.group = group;
        this.size = size;
    }

    @KafkaListener(topics = "bench.k2", groupId = "${bench.group}")
    void handle(List<ConsumerRecord<String, String>> records) throws IOException {
        began.compareAndSet(0, System.nanoTime());
        List<Event> events = new ArrayList<>(records.size());
        for (ConsumerRecord<String, String> record : records) {
            byte[] id = record.headers().lastHeader("event_id").value();
            UUID eventId = UUID.fromString(new String(id, StandardCharsets.UTF_8));
            events.add(new Event(eventId, record.key(), reader.readValue(record.value())));
        }
        transaction.executeWithoutResult(status -> write(events));
        if (handled.addAndGet(records.size()) >= size) {
            System.out.println("nanoseconds " + (System.nanoTime() - began.get()));
        }
    }

    private void write(List<Event> events) {
        UUID[] ids = events.stream().map(Event::id).toArray(UUID[]::new);
        Set<UUID> known = new HashSet<>(jdbc.queryForList(KNOWN, UUID.class, group, ids));
        List<Object[]> marks = new ArrayList<>(events.size());
        Map<String, Object[]> rows = new LinkedHashMap<>(); // a statement may write a row once
        for (Event event : events) {
            if (known.add(event.id())) {
                marks.add(new Object[] {group, event.id()});
                Placed placed = event.placed();
                rows.put(event.orderId(), new Object[] {event.orderId(), placed.customerId(), placed.totalCents()});
            }
        }
        Collection<Object[]> written = rows.values();
        jdbc.batchUpdate(MARK, marks);
        jdbc.batchUpdate(UPSERT, new ArrayList<>(written));
    }
}
