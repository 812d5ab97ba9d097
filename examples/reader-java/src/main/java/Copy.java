import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.List;
import java.util.OptionalLong;

/**
 * Assignments, and how far each partition was read: changed in one transaction, so that no crash comes
 * between (R6). A connection is for one thread.
 */
final class Copy implements AutoCloseable {
    /** Instead of an offset: read from the beginning. */
    static final long BEGINNING = -1;

    private final Connection db;

    Copy(Path file) throws SQLException {
        db = DriverManager.getConnection("jdbc:sqlite:" + file);
        try (Statement statement = db.createStatement()) {
            statement.execute("PRAGMA busy_timeout = 10000");
            statement.execute("CREATE TABLE IF NOT EXISTS assignment (pseudonym TEXT PRIMARY KEY,"
                + " part INTEGER NOT NULL, segments TEXT NOT NULL, expires_at INTEGER NOT NULL)");
            statement.execute("CREATE TABLE IF NOT EXISTS progress (part INTEGER PRIMARY KEY,"
                + " topic TEXT NOT NULL, next_offset INTEGER NOT NULL, current_at INTEGER NOT NULL)");
        }
    }

    /** What may be used now; none: the default segment (R3, R8). */
    List<String> segments(String pseudonym) throws SQLException {
        String query = "SELECT segments FROM assignment WHERE pseudonym = ? AND expires_at > ?";
        try (PreparedStatement asked = with(query, pseudonym, System.currentTimeMillis());
                ResultSet row = asked.executeQuery()) {
            return row.next() ? List.of(row.getString(1).split(" ")) : List.of();
        }
    }

    void put(int part, String pseudonym, List<String> segments, long expiresAt) throws SQLException {
        run("INSERT OR REPLACE INTO assignment VALUES (?, ?, ?, ?)", pseudonym, part,
            String.join(" ", segments), expiresAt);
    }

    void drop(String pseudonym) throws SQLException {
        run("DELETE FROM assignment WHERE pseudonym = ?", pseudonym);
    }

    void dropExpired() throws SQLException {
        run("DELETE FROM assignment WHERE expires_at <= ?", System.currentTimeMillis());
    }

    /** Where to read on; none: nothing is known, or a tombstone may be gone since it was current (R4). */
    OptionalLong start(String topic, int part, long maxLag) throws SQLException {
        String query = "SELECT next_offset FROM progress WHERE part = ? AND topic = ? AND current_at >= ?";
        long since = System.currentTimeMillis() - maxLag;
        try (PreparedStatement asked = with(query, part, topic, since); ResultSet row = asked.executeQuery()) {
            return row.next() ? OptionalLong.of(row.getLong(1)) : OptionalLong.empty();
        }
    }

    /** Of a partition that is read from the beginning, nothing is kept. It is current as of now: all
     *  tombstones that are there now will be read. */
    void forget(String topic, int part) throws SQLException {
        transact(() -> {
            run("DELETE FROM assignment WHERE part = ?", part);
            run("INSERT OR REPLACE INTO progress VALUES (?, ?, ?, ?)", part, topic, BEGINNING,
                System.currentTimeMillis());
        });
    }

    void reached(int part, long nextOffset) throws SQLException {
        run("UPDATE progress SET next_offset = ? WHERE part = ?", nextOffset, part);
    }

    void markCurrent(int part, long at) throws SQLException {
        run("UPDATE progress SET current_at = ? WHERE part = ?", at, part);
    }

    /** All of it, or nothing. */
    void transact(Change change) throws SQLException {
        db.setAutoCommit(false);
        try {
            change.make();
            db.commit();
        } catch (SQLException | RuntimeException error) {
            db.rollback();
            throw error;
        } finally {
            db.setAutoCommit(true);
        }
    }

    interface Change {
        void make() throws SQLException;
    }

    private void run(String statement, Object... values) throws SQLException {
        try (PreparedStatement prepared = with(statement, values)) {
            prepared.executeUpdate();
        }
    }

    private PreparedStatement with(String statement, Object... values) throws SQLException {
        PreparedStatement prepared = db.prepareStatement(statement);
        for (int i = 0; i < values.length; i++) {
            prepared.setObject(i + 1, values[i]);
        }
        return prepared;
    }

    @Override
    public void close() throws SQLException {
        db.close();
    }
}
