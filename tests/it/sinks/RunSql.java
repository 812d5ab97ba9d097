import java.nio.file.Files;
import java.nio.file.Path;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.TableEnvironment;

/** Runs the statements of a file in a Flink within this process; ${NAME} is the environment's. */
public class RunSql {
    public static void main(String[] arguments) throws Exception {
        String sql = Files.readString(Path.of(arguments[0]));
        for (var variable : System.getenv().entrySet()) {
            sql = sql.replace("${" + variable.getKey() + "}", variable.getValue());
        }
        var flink = TableEnvironment.create(EnvironmentSettings.inStreamingMode());
        flink.getConfig().set("parallelism.default", "1");
        for (String statement : sql.replaceAll("(?m)--.*$", "").split(";\\s*\\n")) {
            if (statement.isBlank()) {
                continue;
            }
            var result = flink.executeSql(statement.strip());
            if (result.getJobClient().isPresent()) {
                result.await();
            }
        }
    }
}
