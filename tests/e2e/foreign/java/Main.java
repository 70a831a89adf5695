import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorCompletionService;
import java.util.concurrent.Executors;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/**
 * A caller over REST with nothing but the JDK, which has no reader of JSON: it prints the bodies that the server sent as
 * they are, within one JSON object.
 *
 * <p>Arguments: address of REST, model, file of the picture, a slow method, how many ask at once.
 */
public final class Main {
    private static final Pattern RETRY = Pattern.compile("\"retry_after\":");

    private final HttpClient client =
            HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).connectTimeout(Duration.ofSeconds(5)).build();
    private final String model;
    private final Path picture;
    private final String slow;
    private final int crowd;

    private Main(String[] arguments) {
        model = arguments[0] + "/v1/models/" + arguments[1];
        picture = Path.of(arguments[2]);
        slow = ":explain?quality=all&method=" + arguments[3];
        crowd = Integer.parseInt(arguments[4]);
    }

    public static void main(String[] arguments) throws Exception {
        Main me = new Main(arguments);
        Map<String, String> found = new TreeMap<>();
        found.put("call", me.send(":predict").body());
        found.put("stream", me.stream());
        found.put("deadline", me.send(me.slow.replace(":explain?", ":analyze?timeout=1&")).body());
        found.put("error", me.send(":explain?method=tarot").body());
        found.put("busy", me.crowded());
        System.out.println(found.entrySet().stream()
                .map(each -> "\"" + each.getKey() + "\": " + each.getValue())
                .collect(Collectors.joining(",\n", "{", "}")));
        // Requests of the crowd are still in flight, and their threads keep the program alive.
        System.exit(0);
    }

    private HttpResponse<String> send(String action) throws IOException, InterruptedException {
        return client.send(asking(action).build(), BodyHandlers.ofString());
    }

    /** The lines of NDJSON, as an array; the client hands over each one when it has come. */
    private String stream() throws IOException, InterruptedException {
        HttpRequest request = asking(":analyze?method=grad_cam&method=saliency")
                .header("Accept", "application/x-ndjson")
                .build();
        List<String> lines = new ArrayList<>();
        client.send(request, BodyHandlers.ofLines()).body().forEach(lines::add);
        return "[" + String.join(",", lines) + "]";
    }

    /** Asks for more than the server queues, and returns the first refusal that says when to come again. */
    private String crowded() throws InterruptedException, ExecutionException, IOException {
        var answers = new ExecutorCompletionService<HttpResponse<String>>(Executors.newFixedThreadPool(crowd));
        for (int i = 0; i < crowd; i++) {
            answers.submit(() -> send(slow + "&timeout=3"));
        }
        for (int i = 0; i < crowd; i++) {
            HttpResponse<String> answer = answers.take().get();
            if (RETRY.matcher(answer.body()).find()) {
                return "[" + answer.headers().firstValue("Retry-After").orElseThrow() + "," + answer.body() + "]";
            }
        }
        return "null";
    }

    private HttpRequest.Builder asking(String action) throws IOException {
        return HttpRequest.newBuilder(URI.create(model + action))
                .timeout(Duration.ofSeconds(30))
                .header("Content-Type", "image/jpeg")
                .POST(BodyPublishers.ofFile(picture));
    }
}
