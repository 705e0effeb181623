import com.marcnuri.helm.Helm;
import com.marcnuri.helm.LintResult;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Base64;

/** Runs the tasks of helm-engine.ts: one on each line of the input, and its result on a line of the output. */
class HelmEngine {
    public static void main(String[] args) {
        new String(readAll(), StandardCharsets.UTF_8).lines().forEach(line -> {
            String outcome = "ok";
            String text;
            try {
                text = run(line.split("\t"));
            } catch (RuntimeException error) {
                outcome = "failed";
                text = String.valueOf(error.getMessage());
            }
            byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
            System.out.println(outcome + "\t" + Base64.getEncoder().encodeToString(bytes));
        });
    }

    private static byte[] readAll() {
        try {
            return System.in.readAllBytes();
        } catch (java.io.IOException error) {
            throw new java.io.UncheckedIOException(error);
        }
    }

    private static String run(String[] task) {
        Helm chart = new Helm(Path.of(task[1]));
        switch (task[0]) {
            case "lint":
                LintResult result = chart.lint().strict().call();
                if (result.isFailed()) throw new IllegalStateException(String.join("\n", result.getMessages()));
                return String.join("\n", result.getMessages());
            case "template":
                return chart.template().withName(task[2]).withNamespace(task[3]).withValuesFile(Path.of(task[4])).call();
            case "notes":
                return chart.install().clientOnly().dryRun().withName(task[2]).withNamespace(task[3])
                    .withValuesFile(Path.of(task[4])).call().getOutput();
            case "package":
                chart.packageIt().withDestination(Path.of(task[2])).call();
                return "";
            default:
                throw new IllegalArgumentException(task[0]);
        }
    }
}
