// Pushes a blob with "Expect: 100-continue" and pulls it back, over TLS with a client certificate.
// Arguments: registry URL, repository, blob file, PKCS#12 file of the client, CA file in PEM.
// Prints the status of each reply, whether the bytes are the same, and the version of HTTP.
import java.io.FileInputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.MessageDigest;
import java.security.cert.CertificateFactory;
import java.time.Duration;
import java.util.HexFormat;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

public class Push {
  public static void main(String[] args) throws Exception {
    URI registry = URI.create(args[0]);
    byte[] blob = Files.readAllBytes(Path.of(args[2]));
    byte[] hash = MessageDigest.getInstance("SHA-256").digest(blob);
    String digest = "sha256:" + HexFormat.of().formatHex(hash);
    HttpClient client = HttpClient.newBuilder().sslContext(tls(args[3], args[4])).build();

    URI uploads = registry.resolve("/v2/" + args[1] + "/blobs/uploads/");
    HttpRequest start = HttpRequest.newBuilder(uploads).POST(BodyPublishers.noBody()).build();
    HttpResponse<Void> started = client.send(start, BodyHandlers.discarding());
    String location = started.headers().firstValue("Location").orElseThrow();
    String mark = location.contains("?") ? "&" : "?";
    URI upload = registry.resolve(location + mark + "digest=" + digest);

    HttpRequest put =
        HttpRequest.newBuilder(upload)
            .expectContinue(true)
            .timeout(Duration.ofSeconds(20))
            .PUT(BodyPublishers.ofByteArray(blob))
            .build();
    HttpResponse<Void> pushed = client.send(put, BodyHandlers.discarding());

    URI target = registry.resolve("/v2/" + args[1] + "/blobs/" + digest);
    HttpRequest get = HttpRequest.newBuilder(target).build();
    HttpResponse<byte[]> pulled = client.send(get, BodyHandlers.ofByteArray());
    boolean isSame = java.util.Arrays.equals(blob, pulled.body());
    System.out.printf(
        "%d %d %d %s %s%n",
        started.statusCode(),
        pushed.statusCode(),
        pulled.statusCode(),
        isSame ? "same" : "other",
        pulled.version());
  }

  private static SSLContext tls(String clientFile, String caFile) throws Exception {
    KeyStore own = KeyStore.getInstance("PKCS12");
    try (FileInputStream in = new FileInputStream(clientFile)) {
      own.load(in, "secret".toCharArray());
    }
    KeyManagerFactory keys = KeyManagerFactory.getInstance("PKIX");
    keys.init(own, "secret".toCharArray());
    KeyStore trusted = KeyStore.getInstance("PKCS12");
    trusted.load(null, null);
    try (FileInputStream in = new FileInputStream(caFile)) {
      var certificate = CertificateFactory.getInstance("X.509").generateCertificate(in);
      trusted.setCertificateEntry("ca", certificate);
    }
    TrustManagerFactory trust = TrustManagerFactory.getInstance("PKIX");
    trust.init(trusted);
    SSLContext context = SSLContext.getInstance("TLS");
    context.init(keys.getKeyManagers(), trust.getTrustManagers(), null);
    return context;
  }
}
