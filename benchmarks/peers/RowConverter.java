package upsertd.peers;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import org.apache.kafka.connect.data.Field;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.SchemaAndValue;
import org.apache.kafka.connect.data.SchemaBuilder;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.errors.DataException;
import org.apache.kafka.connect.storage.Converter;

/**
 * Reads an event of the benchmark's topics straight into a flat row, for Debezium's JDBC sink.
 *
 * <p>The topics hold JSON without a schema, and the sink wants records with one. This is one pass over the
 * bytes with no tree in between. Kafka Connect's own JsonConverter (with {@code schema.content}) builds a
 * tree, needs two transforms behind it (Flatten, ReplaceField), and cannot keep an object as the text of one
 * column, which is what the tables have.
 *
 * <p>The setting {@code columns} lists the columns that come from {@code data}, as {@code name:kind}; kinds
 * are text, integer, moment, amount and json; the last two keep the text as it stands in the event.
 */
public final class RowConverter implements Converter {
    private static final JsonFactory PARSERS = new JsonFactory();
    private static final String ENVELOPE =
            "entity_id:id:integer,version:version:integer,occurred_at:occurred_at:moment";

    private enum Kind { TEXT, INTEGER, MOMENT, AMOUNT, JSON }

    private record Column(Field field, Kind kind) {}

    private final Map<String, Column> outer = new HashMap<>();
    private final Map<String, Column> inner = new HashMap<>();
    private Schema schema;

    @Override
    public void configure(Map<String, ?> settings, boolean isKey) {
        SchemaBuilder builder = SchemaBuilder.struct();
        Map<String, String[]> outside = new HashMap<>();
        Map<String, String[]> inside = new HashMap<>();
        for (String each : ENVELOPE.split(",")) {
            String[] parts = each.split(":");
            outside.put(parts[0], declare(builder, parts[1], parts[2]));
        }
        for (String each : String.valueOf(settings.get("columns")).split(",")) {
            String[] parts = each.split(":");
            inside.put(parts[0], declare(builder, parts[0], parts[1]));
        }
        schema = builder.build();
        outside.forEach((name, column) -> outer.put(name, column(column)));
        inside.forEach((name, column) -> inner.put(name, column(column)));
    }

    @Override
    public SchemaAndValue toConnectData(String topic, byte[] value) {
        Struct row = new Struct(schema);
        try (JsonParser parser = PARSERS.createParser(value)) {
            parser.nextToken();
            readObject(parser, value, outer, row);
        } catch (IOException error) {
            throw new DataException("not JSON", error);
        }
        return new SchemaAndValue(schema, row);
    }

    @Override
    public byte[] fromConnectData(String topic, Schema ofValue, Object value) {
        throw new UnsupportedOperationException("a sink only reads");
    }

    private void readObject(JsonParser parser, byte[] value, Map<String, Column> columns, Struct row)
            throws IOException {
        while (parser.nextToken() == JsonToken.FIELD_NAME) {
            String name = parser.currentName();
            Column column = columns.get(name);
            JsonToken token = parser.nextToken();
            if (column != null) {
                row.put(column.field, read(parser, value, token, column.kind));
            } else if (columns == outer && name.equals("data")) {
                readObject(parser, value, inner, row);
            } else {
                parser.skipChildren();
            }
        }
    }

    private static Object read(JsonParser parser, byte[] value, JsonToken token, Kind kind)
            throws IOException {
        if (token == JsonToken.VALUE_NULL) {
            return null;
        }
        return switch (kind) {
            case TEXT -> parser.getText();
            case INTEGER -> parser.getLongValue();
            case MOMENT -> moment(parser.getText());
            case AMOUNT, JSON -> raw(parser, value, token);
        };
    }

    private static String raw(JsonParser parser, byte[] value, JsonToken token) throws IOException {
        if (!token.isStructStart()) {
            return parser.getText();
        }
        int begin = (int) parser.currentTokenLocation().getByteOffset();
        parser.skipChildren();
        int end = (int) parser.currentLocation().getByteOffset();
        return new String(value, begin, end - begin, StandardCharsets.UTF_8);
    }

    /** As MariaDB reads a DATETIME: without the letters. The events' moments are all in UTC. */
    private static String moment(String text) {
        return text.substring(0, 10) + ' ' + text.substring(11, text.length() - 1);
    }

    private static String[] declare(SchemaBuilder builder, String name, String kind) {
        boolean isInteger = kind.equals("integer");
        builder.field(name, isInteger ? Schema.OPTIONAL_INT64_SCHEMA : Schema.OPTIONAL_STRING_SCHEMA);
        return new String[] {name, kind};
    }

    private Column column(String[] declared) {
        return new Column(schema.field(declared[0]), Kind.valueOf(declared[1].toUpperCase()));
    }
}
