import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.List;
import java.util.Properties;

/**
 * Keeps a copy of one segment topic in a SQLite file, following the rules of docs/readers.md.
 *
 * <pre>
 *   follow BOOTSTRAP TOPIC FILE [PROPERTIES [READER ACKS-TOPIC]]
 *                         keep the copy up to date until interrupted; with READER, say in ACKS-TOPIC how far
 *                         it is, as this reader of the rulebook
 *   show FILE PSEUDONYM   print the segments to use now, or nothing: the default one
 *   check-protocol        answer `assent reader check`, which starts it
 * </pre>
 */
public final class SegmentReader {
    private static final String USAGE =
        "usage: SegmentReader follow BOOTSTRAP TOPIC FILE [PROPERTIES [READER ACKS-TOPIC]] | show FILE PSEUDONYM"
        + " | check-protocol";

    public static void main(String[] arguments) {
        try {
            run(List.of(arguments));
        } catch (Exception error) {
            System.err.println("SegmentReader: " + error.getMessage());
            System.exit(1);
        }
    }

    private static void run(List<String> arguments) throws Exception {
        String command = arguments.isEmpty() ? "" : arguments.get(0);
        if (command.equals("follow") && List.of(4, 5, 7).contains(arguments.size())) {
            Properties client = properties(arguments.size() >= 5 ? arguments.get(4) : null);
            client.put("bootstrap.servers", arguments.get(1));
            String topic = arguments.get(2);
            Follower follower = new Follower(client, topic, Path.of(arguments.get(3)));
            if (arguments.size() == 7) {
                follower.acknowledge(new Acknowledger(client, topic, arguments.get(5), arguments.get(6)));
            }
            follower.run();
        } else if (command.equals("show") && arguments.size() == 3) {
            Path file = Path.of(arguments.get(1));
            if (!Files.exists(file)) {
                throw new NoSuchFileException(file + ": the copy does not exist; create it with follow");
            }
            try (Copy copy = new Copy(file)) {
                copy.segments(arguments.get(2)).forEach(System.out::println);
            }
        } else if (command.equals("check-protocol") && arguments.size() == 1) {
            checkProtocol();
        } else {
            System.err.println(USAGE);
            System.exit(64);
        }
    }

    /** The copy is kept on a thread of its own; questions are answered here, until stdin is closed. */
    private static void checkProtocol() throws Exception {
        Path file = Path.of(given("COPY"), "copy.db");
        Properties client = properties(System.getenv("ASSENT_READER_PROPERTIES"));
        client.put("bootstrap.servers", given("BOOTSTRAP_SERVERS"));
        Follower follower = new Follower(client, given("TOPIC"), file);
        Thread thread = new Thread(() -> keepUp(follower), "follower");
        thread.start();
        try (Copy copy = new Copy(file)) {
            BufferedReader input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
            for (String line = input.readLine(); line != null; line = input.readLine()) {
                List<String> segments = copy.segments(line.replaceFirst("^use ", "").strip());
                System.out.println(segments.isEmpty() ? "no" : "yes " + String.join(" ", segments));
            }
        }
        follower.stop();
        thread.join();
    }

    /** A copy that is not kept up to date any more must not be used. */
    private static void keepUp(Follower follower) {
        try {
            follower.run();
        } catch (Exception error) {
            System.err.println("SegmentReader: " + error.getMessage());
            System.exit(1);
        }
    }

    private static String given(String name) {
        String value = System.getenv("ASSENT_READER_" + name);
        if (value == null) {
            throw new IllegalStateException("ASSENT_READER_" + name + " is not set; `assent reader check` sets it");
        }
        return value;
    }

    private static Properties properties(String file) throws IOException {
        Properties client = new Properties();
        if (file != null) {
            try (BufferedReader lines = Files.newBufferedReader(Path.of(file))) {
                client.load(lines);
            }
        }
        return client;
    }
}
