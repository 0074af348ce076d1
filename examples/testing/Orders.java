import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.regex.Pattern;

/** Starts a fixture, publishes an event, and asks for it: {@code java Orders.java}. */
public class Orders {
    private static final HttpClient HTTP = HttpClient.newHttpClient();

    public static void main(String[] arguments) throws Exception {
        var process = new ProcessBuilder("callboard", "fixture", "--end-with-parent")
            .redirectError(ProcessBuilder.Redirect.INHERIT)
            .start();
        try {
            var line = process.inputReader().readLine();
            if (line == null) throw new IllegalStateException("callboard fixture has not started");
            var found = Pattern.compile("\"fixture\": \"([^\"]*)\"").matcher(line);
            found.find();
            var fixture = found.group(1);
            call("POST", fixture + "/trigger?channel=orders&name=created&data=7");
            System.out.println(call("GET", fixture + "/wait?channel=orders&timeout=1"));
        } finally {
            process.destroy();
        }
    }

    private static String call(String method, String url) throws Exception {
        var request = HttpRequest.newBuilder(URI.create(url))
            .method(method, HttpRequest.BodyPublishers.noBody())
            .build();
        var answer = HTTP.send(request, HttpResponse.BodyHandlers.ofString());
        if (answer.statusCode() != 200) throw new AssertionError(answer.body());
        return answer.body();
    }
}
