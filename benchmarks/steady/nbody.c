// n-body: the outer planets around the sun, a symplectic step at a time; floating point in a small
// array, a square root in the inner loop. Usage: nbody STEPS.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { kBodies = 5 };
static const double kPi = 3.141592653589793;
static const double kDays = 365.24;

struct Body {
  double position[3];
  double velocity[3];
  double mass;
};

// Sun, Jupiter, Saturn, Uranus, Neptune: astronomical units, days, solar masses.
static struct Body bodies[kBodies] = {
    {{0, 0, 0}, {0, 0, 0}, 1},
    {{4.84143144246472090, -1.16032004402742839, -0.103622044471123109},
     {0.00166007664274403694, 0.00769901118419740425, -0.0000690460016972063023},
     0.000954791938424326609},
    {{8.34336671824457987, 4.12479856412430479, -0.403523417114321381},
     {-0.00276742510726411, 0.00499852801234917238, 0.0000230417297573763929},
     0.000285885980666130812},
    {{12.8943695621391310, -15.1111514016986312, -0.223307578892655734},
     {0.00296460137564761618, 0.00237847173959480950, -0.0000296589568540237556},
     0.0000436624404335156298},
    {{15.3796971148509165, -25.9193146099879641, 0.179258772950371181},
     {0.00268067772490389322, 0.00162824170038242295, -0.0000951592254519715870},
     0.0000515138902046611451},
};

static void Prepare(void) {
  double momentum[3] = {0, 0, 0};
  const double unit_of_mass = 4 * kPi * kPi;
  for (int i = 0; i < kBodies; ++i) {
    struct Body* body = &bodies[i];
    body->mass *= unit_of_mass;
    for (int axis = 0; axis < 3; ++axis) {
      body->velocity[axis] *= kDays;
      momentum[axis] += body->velocity[axis] * body->mass;
    }
  }
  for (int axis = 0; axis < 3; ++axis) bodies[0].velocity[axis] = -momentum[axis] / unit_of_mass;
}

static double Distance2(const struct Body* a, const struct Body* b, double difference[3]) {
  double sum = 0;
  for (int axis = 0; axis < 3; ++axis) {
    difference[axis] = a->position[axis] - b->position[axis];
    sum += difference[axis] * difference[axis];
  }
  return sum;
}

static void Step(double time) {
  for (int i = 0; i < kBodies; ++i) {
    for (int j = i + 1; j < kBodies; ++j) {
      double difference[3];
      const double distance2 = Distance2(&bodies[i], &bodies[j], difference);
      const double pull = time / (distance2 * sqrt(distance2));
      for (int axis = 0; axis < 3; ++axis) {
        bodies[i].velocity[axis] -= difference[axis] * bodies[j].mass * pull;
        bodies[j].velocity[axis] += difference[axis] * bodies[i].mass * pull;
      }
    }
  }
  for (int i = 0; i < kBodies; ++i) {
    for (int axis = 0; axis < 3; ++axis) {
      bodies[i].position[axis] += time * bodies[i].velocity[axis];
    }
  }
}

static double Energy(void) {
  double energy = 0;
  for (int i = 0; i < kBodies; ++i) {
    const double* v = bodies[i].velocity;
    energy += 0.5 * bodies[i].mass * (v[0] * v[0] + v[1] * v[1] + v[2] * v[2]);
    for (int j = i + 1; j < kBodies; ++j) {
      double difference[3];
      energy -=
          bodies[i].mass * bodies[j].mass / sqrt(Distance2(&bodies[i], &bodies[j], difference));
    }
  }
  return energy;
}

int main(int argc, char** argv) {
  const long steps = argc > 1 ? atol(argv[1]) : 1000;
  Prepare();
  printf("%.9f\n", Energy());
  for (long i = 0; i < steps; ++i) Step(0.01);
  printf("%.9f\n", Energy());
  return 0;
}
